/** In the order of the report. */
export type Area = 'theft' | 'forgery' | 'escape' | 'network' | 'gateway'

export interface AttackCase {
  id: string
  area: Area
  /** The attempt, as the user reads it. */
  title: string
}

const cases = (area: Area, titles: Record<string, string>): AttackCase[] =>
  Object.entries(titles).map(([id, title]) => ({ id, area, title }))

/**
 * All attempts. The twelve of theft are the known and the conceivable ways for a tool to get a token
 * from another process on the same machine.
 */
export const attackCases: readonly AttackCase[] = [
  ...cases('theft', {
    A1: 'environment of the tools',
    A2: 'environment of other processes',
    A3: 'memory of other processes',
    A4: 'ptrace, and reading and taking by system call',
    A5: 'standard input and output of the agent',
    A6: 'core dump of the agent',
    A7: 'inspector of the agent, by SIGUSR1',
    A8: 'files, also by their path on the host',
    A9: 'arguments of processes',
    A10: 'image of the container',
    A11: 'logs of the engine, and its account of the container',
    A12: "gateway with nobody's, a guessed and somebody else's capability",
  }),
  ...cases('forgery', {
    J7a: 'events among what a tool prints',
    J7b: 'events by the pipes of other processes and the console',
    J7c: 'answers by the pipes and the memory of the worker',
    J8: 'processes that outlive their run',
    J9: "the container's stderr, which an error quotes",
  }),
  ...cases('escape', {
    X1: 'socket of the container engine',
    X2: 'devices: memory, disks, and new ones',
    X3: 'mounting, unmounting, remounting',
    X4: 'capabilities, and becoming root by set-user-id',
    X5: 'writing outside the workspace',
    X6: 'settings of the kernel',
    X7: 'namespaces and roots of others',
    X8: 'stopping or killing the agent',
    X9: 'what a second conversation in the folder has mounted, swapped while it starts',
    F1: 'files of the host, past and through the workspace',
    F4: 'hooks and settings of the repository, and a new .git in its place',
  }),
  ...cases('network', {
    N1: "the host's own addresses, IPv4",
    N2: "the host's own addresses, IPv6",
    N3: 'loopback of the host',
    N4: 'name servers, and any address by UDP',
    N5: 'metadata service of clouds',
    N6: 'abstract sockets of the host',
  }),
  ...cases('gateway', {
    F13a: 'other paths and methods, with a stolen capability',
    F13b: 'other models and keys, with a stolen capability',
    F13c: 'tools that fetch, search or run elsewhere, with a stolen capability',
    F13d: 'the capability of a run that is over',
    F13e: "connections that say nothing, in the place of the agent's",
  }),
]
