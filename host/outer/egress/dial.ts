import { connect, isIP, type Socket } from 'node:net'

export interface Dialled {
  host: string
  port: number
  /** Those of `host`: one of them is connected to, and nothing else. */
  addresses: readonly string[]
  ms: number
  signal: AbortSignal
}

/** A connection to the first of the addresses that answers. Rejects when none does within `ms`. */
export function dial({ host, port, addresses, ms, signal }: Dialled): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const server = connect({
      host,
      port,
      allowHalfOpen: true,
      autoSelectFamily: true,
      // The next address is tried after that long, if there is one.
      autoSelectFamilyAttemptTimeout: 1000,
      // No second look at the name: what it leads to by now was never checked.
      lookup: (_name, _options, found) => {
        found(
          null,
          addresses.map((address) => ({ address, family: isIP(address) })),
        )
      },
    })
    const late = setTimeout(() => server.destroy(new Error(`no answer within ${ms / 1000} s`)), ms)
    const leave = () => server.destroy(new Error('nobody waits for it any more'))
    const settle = () => {
      clearTimeout(late)
      signal.removeEventListener('abort', leave)
    }
    signal.addEventListener('abort', leave, { once: true })
    if (signal.aborted) leave()
    server.once('connect', () => {
      settle()
      resolve(server)
    })
    // Stays after that, or a later error would be nobody's and end the process.
    server.on('error', (error) => {
      settle()
      reject(error)
    })
  })
}
