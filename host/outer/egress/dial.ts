import { connect, isIP, type Socket } from 'node:net'

export interface Dialled {
  host: string
  port: number
  /** The checked addresses of `host`: the connection goes to one of these only. */
  addresses: readonly string[]
  ms: number
  signal: AbortSignal
}

/** Connects to the first address that answers. Rejects when none does within `ms`. */
export function dial({ host, port, addresses, ms, signal }: Dialled): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const server = connect({
      host,
      port,
      allowHalfOpen: true,
      autoSelectFamily: true,
      // Delay before the next address is tried.
      autoSelectFamilyAttemptTimeout: 1000,
      // No second DNS lookup: its result would be unchecked.
      lookup: (_name, _options, callback) => {
        callback(
          null,
          addresses.map((address) => ({ address, family: isIP(address) })),
        )
      },
    })
    const timer = setTimeout(() => server.destroy(new Error(`no answer within ${ms / 1000} s`)), ms)
    const onAbort = () => server.destroy(new Error('nobody waits for it any more'))
    const cleanUp = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', onAbort)
    }
    signal.addEventListener('abort', onAbort, { once: true })
    if (signal.aborted) onAbort()
    server.once('connect', () => {
      cleanUp()
      resolve(server)
    })
    // The listener stays: a later error without a listener would end the process.
    server.on('error', (error) => {
      cleanUp()
      reject(error)
    })
  })
}
