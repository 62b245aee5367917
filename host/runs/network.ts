import type { NetworkMode } from '../config.ts'
import type { EgressLine } from '../gateway/request-log.ts'

/** The proxy through which the tools of a conversation reach the listed hosts. */
export interface EgressProxy {
  /** The name of its socket in the mounted folder. */
  readonly socketName: string
  /** Closes all its connections. */
  close(): Promise<void>
}

export interface EgressProxyOptions {
  /** The folder for its socket. */
  socketFolder: string
  /** Exact host names. */
  allow: readonly string[]
  /** The id of the conversation, for the log. */
  conversation: string
  /** Gets a line for each request of the tools. */
  append(line: EgressLine): void
  /** Gets notices for the user. */
  tell(message: string): void
}

/** @throws CodexboxError `config-invalid` when `allow` is no list of hosts; Error when the socket cannot be opened */
export type OpenEgressProxy = (options: EgressProxyOptions) => Promise<EgressProxy>

/** For people: `none`, `open`, or `allow: github.com, files.pythonhosted.org`. */
export function describeNetwork(network: NetworkMode): string {
  return typeof network === 'string' ? network : `allow: ${network.allow.join(', ')}`
}

/** For the model, where the network differs from the default instructions. */
export function networkInstructions(network: NetworkMode): string {
  if (network === 'none') return ''
  if (network === 'open') return '\nThis sandbox has a network.'
  return [
    '',
    `This sandbox reaches these hosts, by https only: ${network.allow.join(', ')}. The way is a proxy`,
    'that HTTPS_PROXY names; curl, git, npm, pip and most others use it by themselves, programs of',
    'Node with NODE_USE_ENV_PROXY=1.',
  ].join('\n')
}
