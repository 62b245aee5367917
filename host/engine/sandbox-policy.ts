import { join, posix } from 'node:path'
import type { ContainerCreateOptions, HostConfig, MountSettings } from 'dockerode'
import type { AgentSpec } from './engine.ts'
import { agentEnvironment, HOME } from './environment.ts'
import type { ImageSettings } from './image-settings.ts'
import { hostOwnerLabels, sharedLabels } from './owner-labels.ts'
import { NAME_FILES, needsName } from './user-names.ts'

/** Where things are inside the container. */
export const inside = {
  workspace: '/workspace',
  agentFile: '/opt/codexbox/agent.cjs',
  socketFolder: '/run/codexbox',
  socketPath: '/run/codexbox/gateway.sock',
  /** Where sockets cannot be mounted: the prefix of the relay's abstract sockets, which no file mode or tool can change. */
  relayFolder: '@codexbox',
  relayedSocketPath: '@codexbox/gateway.sock',
  home: HOME,
} as const

const MiB = 1024 * 1024

/** What it takes to start the worker as another user, and to end it. */
const RIGHTS = ['SETUID', 'SETGID', 'KILL']

/** And if that is root, to take these and all others from it. */
const RIGHTS_BESIDE_ROOT = [...RIGHTS, 'SETPCAP']

const KEPT = RIGHTS_BESIDE_ROOT.map((right) => `+${right.toLowerCase()}`).join(',')

/** Starts what it is given; ends when that ends, or is halted. */
const SHELL = [
  "trap 'kill $!; wait $!; exit $?' TERM",
  // With job control `wait` also returns for what is halted.
  'set -m',
  'exec "$0" "$@" &',
  // The agent's pipes are the agent's alone, and none that is full holds this up.
  'exec <>/dev/null >&0 2>&0',
  'wait $!',
].join('\n')

/**
 * What starts node where tools are root. The agent is another user then, with the same rights. But a process that
 * is root by number may send any signal to any other, without any right (fcntl(2), F_SETSIG), and an agent that is
 * halted would not see that its host is gone. The first process of a container cannot be halted or killed
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
 * The sandbox policy, all of it: what a container of ours may do. Pure, so that one table of tests
 * pins it down. Bounds follow the CIS Docker Benchmark, section 5. Of what the image declares a container has its
 * labels, where they are not ours, its ports, which nothing publishes, its volumes, in memory, and a part of its `PATH`.
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
    // Whatever the image would start: we start node with our script.
    Entrypoint: [...(isBesideRoot ? BESIDE_ROOT : []), 'node'],
    // It goes to the socket first, which shows whether it can, and reports what is at the targets.
    Cmd: [
      inside.agentFile,
      'agent',
      spec.socketFolder ? inside.socketPath : '',
      `${spec.user.uid}`,
      `${spec.user.gid}`,
      ...bindsOf(spec).map(({ target }) => target),
    ],
    // The agent is root without rights, which is what it takes to start the tools as another user.
    User: '0:0',
    WorkingDir: '/',
    Env: environmentOf(settings),
    // For Podman, which adds variables of its own configuration; Docker does not know the setting.
    UnsetEnvAll: true,
    // The image's would be run by the engine, as the container's user.
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
    // The container's stdin ends with our connection: if this process dies, the agent leaves.
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
      // With a list of hosts there is none either: the way to them is the socket.
      NetworkMode: spec.network === 'open' ? 'bridge' : 'none',
      ReadonlyRootfs: true,
      Tmpfs: { ...volumesInMemory(settings, spec), ...OWN_TMPFS },
      Mounts: mounts(spec),
      // Reaps what tools leave behind; node as process 1 would not. Beside root the shell does.
      Init: !isBesideRoot,
      PidsLimit: 512,
      Memory: 2048 * MiB,
      // The same figure: no swap on top.
      MemorySwap: 2048 * MiB,
      // Two processors, in this way also where there is only one: Docker refuses `NanoCpus` beyond what it has.
      CpuPeriod: 100_000,
      CpuQuota: 200_000,
      Ulimits: [
        // A core file in the workspace would hold the agent's memory.
        { Name: 'core', Soft: 0, Hard: 0 },
        { Name: 'nofile', Soft: 4096, Hard: 4096 },
      ],
      // The container dies before the host does.
      OomScoreAdj: 500,
      // Nothing that is printed goes to the host's disk; attaching works all the same.
      LogConfig: { Type: 'none', Config: {} },
      CgroupnsMode: 'private',
      IpcMode: 'private',
      // Shared memory goes with the last process that has it; left alone it would take the place of the next run's.
      Sysctls: { 'kernel.shm_rmid_forced': '1' },
      // By the engine, so that it also happens when this process is gone by then.
      AutoRemove: true,
      RestartPolicy: { Name: 'no' },
    },
  }
}

/** The environment of a container of ours, and of no process of a tool. */
export function environmentOf(settings: ImageSettings): string[] {
  const ours = [inside.workspace, ...Object.keys(OWN_TMPFS), ...volumesOf(settings)]
  return agentEnvironment(settings, [...ours, ...WRITABLE])
}

/** The file systems of the kernel, some parts of which root can write to, and a folder in memory of Podman's. */
const WRITABLE = ['/dev', '/proc', '/sys', '/var/tmp']

const OWN_TMPFS = {
  '/tmp': 'rw,exec,nosuid,nodev,size=512m,mode=1777',
  [inside.home]: 'rw,exec,nosuid,nodev,size=256m,mode=1777',
  // Engines may put one there by themselves, for everybody to write to.
  '/run': 'ro,noexec,nosuid,nodev,size=1m,mode=755',
}

/** Of all volumes together: with the other folders in memory it is less than a container has of it. */
const VOLUMES_KB = 1024 * 1024

/** Of volumes the engine would make folders on the host's disk, without a bound. */
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

/** A file or folder of the host that the container gets. */
export interface Bind {
  path: string
  target: string
  readOnly: boolean
}

export function bindsOf(spec: AgentSpec): Bind[] {
  const { workspace, pinned = [], agentFile, socketFolder, user, isNameless } = spec
  return [
    { path: workspace.path, target: inside.workspace, readOnly: false },
    ...pinned.map(({ path, at, readOnly }) => ({
      path,
      target: `${inside.workspace}/${at}`,
      readOnly,
    })),
    { path: agentFile, target: inside.agentFile, readOnly: true },
    ...(socketFolder ? [{ path: socketFolder, target: inside.socketFolder, readOnly: true }] : []),
    ...(socketFolder && needsName(user) && !isNameless
      ? Object.entries(NAME_FILES).map(([name, target]) => ({
          path: join(socketFolder, name),
          target,
          readOnly: true,
        }))
      : []),
  ]
}

/** `Mounts` and not `Binds`: a missing source is an error then, and a colon in a path is no trouble. */
function mounts(spec: AgentSpec): MountSettings[] {
  return bindsOf(spec).map(({ path, target, readOnly }) => ({
    Type: 'bind',
    Source: path,
    Target: target,
    ReadOnly: readOnly,
    BindOptions: { Propagation: 'rprivate' },
  }))
}
