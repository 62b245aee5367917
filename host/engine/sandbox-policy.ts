import { join, posix } from 'node:path'
import type { ContainerCreateOptions, HostConfig, MountSettings } from 'dockerode'
import type { AgentSpec } from './engine.ts'
import { agentEnvironment, HOME } from './environment.ts'
import type { ImageSettings } from './image-settings.ts'
import { hostOwnerLabels, sharedLabels } from './owner-labels.ts'
import { NAME_FILES, needsName } from './user-names.ts'

/** Paths inside the container. */
export const inside = {
  workspace: '/workspace',
  agentFile: '/opt/codexbox/agent.cjs',
  socketFolder: '/run/codexbox',
  socketPath: '/run/codexbox/gateway.sock',
  /** Without mounted sockets: the prefix of the relay's abstract sockets, which no file mode or tool can change. */
  relayFolder: '@codexbox',
  relayedSocketPath: '@codexbox/gateway.sock',
  home: HOME,
} as const

const MiB = 1024 * 1024

/** Needed to start the worker as another user, and to kill it. */
const RIGHTS = ['SETUID', 'SETGID', 'KILL']

/** SETPCAP drops all capabilities of a worker that is root. */
const RIGHTS_BESIDE_ROOT = [...RIGHTS, 'SETPCAP']

const KEPT = RIGHTS_BESIDE_ROOT.map((right) => `+${right.toLowerCase()}`).join(',')

/** Starts its arguments as a command; ends when the command ends or is halted. */
const SHELL = [
  "trap 'kill $!; wait $!; exit $?' TERM",
  // With job control `wait` also returns for a halted process.
  'set -m',
  'exec "$0" "$@" &',
  // Only the agent has its pipes, and a full pipe cannot block this shell.
  'exec <>/dev/null >&0 2>&0',
  'wait $!',
].join('\n')

/**
 * Starts node where tools are root. The agent is another user then, with the same capabilities. But a process with
 * uid 0 may send any signal to any other, without a capability (fcntl(2), F_SETSIG), and a halted agent would
 * not see that its host is gone. The first process of a container cannot be halted or killed
 * from inside. So it is a shell that ends when the agent is halted, and the container with it; it reaps as well.
 */
const BESIDE_ROOT = [
  'setpriv',
  '--reuid=65532',
  '--regid=65532',
  '--clear-groups',
  `--inh-caps=${KEPT}`,
  `--ambient-caps=${KEPT}`,
  'bash',
  '-c',
  SHELL,
]

/**
 * The whole sandbox policy. Pure, so that one table of tests
 * pins it down. Bounds follow the CIS Docker Benchmark, section 5. From the image a container takes the
 * labels that are not ours, the ports, unpublished, the volumes, in memory, and a part of its `PATH`.
 */
export function containerOptions(
  spec: AgentSpec,
  image: string,
  settings: ImageSettings = { volumes: [], environment: [] },
): ContainerCreateOptions & {
  Entrypoint: string[]
  HostConfig: HostConfig & { CgroupnsMode: string }
  UnsetEnvAll: boolean
} {
  const isBesideRoot = spec.user.uid === 0
  return {
    name: spec.name,
    Image: image,
    // Replaces the image's entrypoint with node and the container script.
    Entrypoint: [...(isBesideRoot ? BESIDE_ROOT : []), 'node'],
    // The agent first connects to the socket, which proves access, and reports the mount targets.
    Cmd: [
      inside.agentFile,
      'agent',
      spec.socketFolder ? inside.socketPath : '',
      `${spec.user.uid}`,
      `${spec.user.gid}`,
      ...bindsOf(spec).map(({ target }) => target),
    ],
    // Root without other capabilities: the agent has to start the tools as another user.
    User: '0:0',
    WorkingDir: '/',
    Env: environmentOf(settings),
    // For Podman, which adds variables from its own configuration; Docker ignores the setting.
    UnsetEnvAll: true,
    // The engine would run the image's healthcheck as the container's user.
    Healthcheck: { Test: ['NONE'] },
    Labels: {
      ...hostOwnerLabels(),
      ...sharedLabels({
        workspace: spec.workspace.path,
        identity: spec.workspace.identity,
        pins: (spec.pinned ?? []).map(({ at }) => at),
      }),
    },
    OpenStdin: true,
    // The container's stdin ends with our connection: if this process dies, the agent exits.
    StdinOnce: true,
    AttachStdin: true,
    AttachStdout: true,
    AttachStderr: true,
    Tty: false,
    StopSignal: 'SIGTERM',
    StopTimeout: 5,
    HostConfig: {
      CapDrop: ['ALL'],
      CapAdd: isBesideRoot ? RIGHTS_BESIDE_ROOT : RIGHTS,
      SecurityOpt: ['no-new-privileges'],
      // Even with allowed hosts there is no network: they are reached through the socket.
      NetworkMode: spec.network === 'open' ? 'bridge' : 'none',
      ReadonlyRootfs: true,
      Tmpfs: { ...volumesInMemory(settings, spec), ...OWN_TMPFS },
      Mounts: mounts(spec),
      // Reaps orphans of tools; node as process 1 would not. Beside root the shell does.
      Init: !isBesideRoot,
      PidsLimit: 512,
      Memory: 2048 * MiB,
      // Equal to `Memory`: no additional swap.
      MemorySwap: 2048 * MiB,
      // Two processors. Unlike `NanoCpus`, this form is also accepted on a machine with one.
      CpuPeriod: 100_000,
      CpuQuota: 200_000,
      Ulimits: [
        // A core file in the workspace would contain the agent's memory.
        { Name: 'core', Soft: 0, Hard: 0 },
        { Name: 'nofile', Soft: 4096, Hard: 4096 },
      ],
      // The OOM killer takes the container before the host.
      OomScoreAdj: 500,
      // No output goes to the host's disk; attaching still works.
      LogConfig: { Type: 'none', Config: {} },
      CgroupnsMode: 'private',
      IpcMode: 'private',
      // Shared memory is freed with its last process; otherwise it would count against the next run.
      Sysctls: { 'kernel.shm_rmid_forced': '1' },
      // The engine removes the container, even when this process is gone by then.
      AutoRemove: true,
      RestartPolicy: { Name: 'no' },
    },
  }
}

/** The container's environment; processes of tools do not get it. */
export function environmentOf(settings: ImageSettings): string[] {
  const ours = [inside.workspace, ...Object.keys(OWN_TMPFS), ...volumesOf(settings)]
  return agentEnvironment(settings, [...ours, ...WRITABLE])
}

/** The kernel's file systems, partly writable for root, and a tmpfs folder of Podman's. */
const WRITABLE = ['/dev', '/proc', '/sys', '/var/tmp']

const OWN_TMPFS = {
  '/tmp': 'rw,exec,nosuid,nodev,size=512m,mode=1777',
  [inside.home]: 'rw,exec,nosuid,nodev,size=256m,mode=1777',
  // Engines may mount a world-writable tmpfs there.
  '/run': 'ro,noexec,nosuid,nodev,size=1m,mode=755',
}

/** Of all volumes together: with the other tmpfs folders it stays below the container's memory. */
const VOLUMES_KB = 1024 * 1024

/** The engine would put volumes on the host's disk, without a bound. */
function volumesInMemory(settings: ImageSettings, spec: AgentSpec): Record<string, string> {
  const taken = new Set([...bindsOf(spec).map(({ target }) => target), ...Object.keys(OWN_TMPFS)])
  const paths = volumesOf(settings).filter((path) => !taken.has(path))
  const size = Math.floor(Math.min(256 * 1024, VOLUMES_KB / paths.length))
  return Object.fromEntries(
    paths.map((path) => [path, `rw,exec,nosuid,nodev,size=${size}k,mode=1777`]),
  )
}

function volumesOf({ volumes }: ImageSettings): string[] {
  return volumes.map((path) => posix.join('/', path).replace(/(.)\/$/, '$1'))
}

/** A file or folder of the host to mount. */
export interface Bind {
  path: string
  target: string
  readOnly: boolean
}

export function bindsOf(spec: AgentSpec): Bind[] {
  const { workspace, pinned = [], agentFile, socketFolder, user, usesImageNames } = spec
  return [
    { path: workspace.path, target: inside.workspace, readOnly: false },
    ...pinned.map(({ path, at, readOnly }) => ({
      path,
      target: `${inside.workspace}/${at}`,
      readOnly,
    })),
    { path: agentFile, target: inside.agentFile, readOnly: true },
    ...(socketFolder ? [{ path: socketFolder, target: inside.socketFolder, readOnly: true }] : []),
    ...(socketFolder && needsName(user) && !usesImageNames
      ? Object.entries(NAME_FILES).map(([name, target]) => ({
          path: join(socketFolder, name),
          target,
          readOnly: true,
        }))
      : []),
  ]
}

/** `Mounts` and not `Binds`: a missing source is an error, and a path may contain a colon. */
function mounts(spec: AgentSpec): MountSettings[] {
  return bindsOf(spec).map(({ path, target, readOnly }) => ({
    Type: 'bind',
    Source: path,
    Target: target,
    ReadOnly: readOnly,
    BindOptions: { Propagation: 'rprivate' },
  }))
}
