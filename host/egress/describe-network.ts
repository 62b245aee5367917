import type { NetworkMode } from '../config.ts'

/** For people: `none`, `open`, or `allow: github.com, files.pythonhosted.org`. */
export function describeNetwork(network: NetworkMode): string {
  return typeof network === 'string' ? network : `allow: ${network.allow.join(', ')}`
}

/** What the model has to know, where the network is another than it is told about usually. */
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
