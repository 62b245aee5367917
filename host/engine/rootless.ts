import { statSync } from 'node:fs'
import type Dockerode from 'dockerode'
import type { HostConfig } from 'dockerode'
import { CodexboxError } from '../../shared/errors.ts'
import type { AgentSpec } from './engine.ts'
import type { containerOptions } from './sandbox-policy.ts'

/** An engine without root's rights, and its user where that is known. */
export interface Rootless {
  kind: 'podman' | 'docker'
  uid: number | undefined
}

/** The relevant fields of the engine's `info`; `Rootless` is Podman's. */
export interface EngineInfo {
  SecurityOptions?: string[] | null
  Rootless?: boolean
}

/**
 * The rootless engine; undefined for an engine of root. A socket that belongs to root is proof
 * enough, since Podman takes a quarter of a second for the request.
 */
export async function askIfRootless(
  docker: Dockerode,
  abortSignal?: AbortSignal,
): Promise<Rootless | undefined> {
  const uid = ownerOfSocket(docker)
  if (uid === 0) return undefined
  const client = docker as unknown as { info(options: object): Promise<EngineInfo> }
  const kind = rootlessKind(await client.info(abortSignal ? { abortSignal } : {}))
  return kind && { kind, uid }
}

export function rootlessKind({
  SecurityOptions,
  Rootless,
}: EngineInfo): Rootless['kind'] | undefined {
  if (Rootless) return 'podman'
  const isDocker = Rootless === undefined && SecurityOptions?.includes('name=rootless')
  return isDocker ? 'docker' : undefined
}

type ContainerOptions = ReturnType<typeof containerOptions>

/**
 * The same container on rootless Podman. There the engine's user is root in a container by default;
 * with `keep-id` it has its own number, so that tools can be that user and the agent another one.
 */
export function optionsForRootless(options: ContainerOptions): ContainerOptions {
  const { Ulimits: _, ...hostConfig } = options.HostConfig
  return {
    ...options,
    Entrypoint: ['bash', '-c', firstWords(options.HostConfig), ...options.Entrypoint],
    HostConfig: { ...hostConfig, UsernsMode: 'keep-id' },
  }
}

/**
 * Before the agent starts, the container sets the limits that such an engine ignores (process limits,
 * before version 5.5), and checks the cgroup limits that the engine may report as set and, for lack of
 * rights, has not set. Only cgroup v2 has these files.
 */
function firstWords({ Ulimits = [], PidsLimit, Memory }: HostConfig): string {
  const limits = Ulimits.map(({ Name, Hard }) => `${ULIMIT_OPTION[Name ?? '']} ${Hard}`).join(' ')
  const isBounded = (file: string, max: number | undefined) =>
    `[ "$(cat /sys/fs/cgroup/${file})" -le ${max} ]`
  return [
    `if ulimit ${limits}`,
    ` && ${isBounded('pids.max', PidsLimit)}`,
    ` && ${isBounded('memory.max', Memory)}`,
    `; then exec "$0" "$@"; else echo '${UNBOUNDED}' >&2; exit 1; fi`,
  ].join('')
}

const ULIMIT_OPTION: NodeJS.Dict<string> = { core: '-c', nofile: '-n' }

/** The message of a container without limits. */
const UNBOUNDED = 'codexbox: this container has no limits'

const ADVICE =
  'A rootless engine can limit processes, memory and processors only with cgroup v2, and where these ' +
  'controllers are delegated to its user (with systemd: Delegate=cpu memory pids for user@.service).'

/** The error for a container that reported no limits. */
export function unboundedError(stderr: string, engineLabel: string): CodexboxError | undefined {
  if (!stderr.includes(UNBOUNDED)) return undefined
  return new CodexboxError(
    'engine-unavailable',
    `The engine (${engineLabel}) started a container without the limits that it said it has; it has left. ${ADVICE}`,
  )
}

/** Adds advice to an error about limits. */
export function withAdviceOnLimits(error: unknown): unknown {
  if (!(error instanceof CodexboxError)) return error
  if (!/PidsLimit|Memory|cgroup/.test(error.message)) return error
  return new CodexboxError(error.code, `${error.message} ${ADVICE}`, { cause: error })
}

/**
 * Checks that tools can be separated from the agent and still write to the workspace.
 * @throws CodexboxError `engine-unavailable`
 */
export function checkRootless(
  rootless: Rootless,
  engineLabel: string,
  user?: AgentSpec['user'],
): void {
  if (rootless.kind === 'docker') {
    throw new CodexboxError(
      'engine-unavailable',
      `The engine (${engineLabel}) is rootless Docker, where the owner of the workspace is root in a container: ` +
        'tools would not be kept apart from the agent. Use rootless Podman or a Docker of root (DOCKER_HOST).',
    )
  }
  if (!user || rootless.uid === undefined || rootless.uid === user.uid) return
  throw new CodexboxError(
    'engine-unavailable',
    `The engine (${engineLabel}) is rootless and of user ${rootless.uid}; the tools are to run as user ${user.uid}, ` +
      'who is nobody to it. Run codexbox as the user of the engine, in a folder of that user.',
  )
}

/** Undefined for a remote engine, or where users have no numbers (Windows). */
function ownerOfSocket({ modem }: Dockerode): number | undefined {
  const { socketPath } = modem as { socketPath?: string }
  if (!socketPath || !process.getuid) return undefined
  return statSync(socketPath, { throwIfNoEntry: false })?.uid
}
