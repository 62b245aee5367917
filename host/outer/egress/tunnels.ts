import { lookup } from 'node:dns/promises'
import type http from 'node:http'
import { isIP, type Socket } from 'node:net'
import { messageOf, systemCodeOf } from '../../../shared/errors.ts'
import type { EgressLine } from '../../gateway/request-log.ts'
import { addressRefusal } from '../../net/public-address.ts'
import { dial } from './dial.ts'
import { readHello } from './read-hello.ts'
import { readServerHello } from './server-hello.ts'

/** The outcome of one tunnel request. */
export type TunnelRecord = Omit<EgressLine, 'conversation'>

/** How a host is reached. */
export interface Dialer {
  /** All addresses of a name. */
  resolve(host: string): Promise<string[]>
  /** Why the proxy must not connect to an address, or undefined. */
  refusal(address: string): string | undefined
  port: number
}

export interface EgressOptions {
  /** Exact names. */
  allow: readonly string[]
  /** Called when a request was refused or its tunnel ended. Must not throw. */
  onTarget?: (target: TunnelRecord) => void
  /** Default: this machine's DNS, public addresses only, port 443. */
  way?: Dialer
  limits?: Partial<EgressLimits>
}

/** Bounds for one conversation. */
export interface EgressLimits {
  connections: number
  /** In total; each tunnel is logged. */
  tunnels: number
  /** Idle timeout of a tunnel. */
  idleMs: number
  /** Timeout of each step: the request, the DNS lookup, the connect. */
  stepMs: number
  bytesUp: number
  bytesDown: number
}

const GiB = 1024 ** 3

export const LIMITS: EgressLimits = {
  connections: 128,
  // A large npm install opens some hundred tunnels.
  tunnels: 10_000,
  // A server may be silent for minutes while it packs a large repository.
  idleMs: 10 * 60_000,
  stepMs: 15_000,
  bytesUp: 2 * GiB,
  bytesDown: 16 * GiB,
}

/** The request gets an HTTP error instead of a tunnel. */
class Refused extends Error {
  readonly status: 403 | 502
  /** For the host only: it may contain addresses of the internal network. */
  readonly detail: string

  constructor(status: 403 | 502, message: string, detail = '') {
    super(message)
    this.status = status
    this.detail = detail
  }
}

/** Decides which requests get a tunnel, and counts the bytes. */
export class Tunnels {
  readonly #hosts: ReadonlySet<string>
  readonly #limits: EgressLimits
  readonly #dialer: Dialer
  readonly #onTarget: (target: TunnelRecord) => void
  /** At most one per name at a time: each lookup occupies a thread of this process. */
  readonly #lookups = new Map<string, Promise<string[]>>()
  readonly #dismissed = new WeakSet<object>()
  #opened = 0
  #bytesUp = 0
  #bytesDown = 0

  constructor(
    hosts: readonly string[],
    limits: EgressLimits,
    { way: dialer = publicDialer, onTarget = () => {} }: EgressOptions,
  ) {
    this.#hosts = new Set(hosts)
    this.#limits = limits
    this.#dialer = dialer
    this.#onTarget = onTarget
  }

  /** Whether `client` was refused: the proxy serves no further request of it. */
  hasDismissed(client: Socket): boolean {
    return this.#dismissed.has(client)
  }

  /** Refuses any method but CONNECT: mostly plain http. */
  turnAway(request: http.IncomingMessage, response: http.ServerResponse): void {
    // Only the host is logged: path and query may contain a secret.
    const { url = '' } = request
    const host = URL.canParse(url) ? new URL(url).host : ''
    const why = 'plain http is not let through'
    this.#dismissed.add(request.socket)
    this.#record(`${request.method} ${host}`, performance.now(), { why })
    const body = this.#explain(why)
    response.writeHead(403, REASON, { 'content-type': 'text/plain', connection: 'close' })
    response.end(body)
  }

  /** Never rejects. */
  async open(request: http.IncomingMessage, client: Socket, head: Buffer): Promise<void> {
    // After `connect` the http server no longer handles the socket's errors; an unhandled one would end this process.
    client.on('error', () => client.destroy())
    if (this.hasDismissed(client)) return void client.destroySoon()
    const startedAt = performance.now()
    const target = request.url ?? ''
    const clientClosed = new AbortController()
    client.once('close', () => clientClosed.abort())
    try {
      const { host, server } = await this.#connect(target, clientClosed.signal)
      client.write('HTTP/1.1 200 Connection established\r\n\r\n')
      const first = await readHello(client, { head, host, ms: this.#limits.stepMs })
      if ('wrong' in first) {
        this.#record(target, startedAt, { why: first.wrong })
        server.destroy()
        this.#dismiss(client, ACCESS_DENIED)
      } else {
        await this.#join(client, server, { host, hello: first.bytes }, (end) =>
          this.#record(target, startedAt, end),
        )
      }
    } catch (error) {
      const refused =
        error instanceof Refused ? error : new Refused(502, 'failed', messageOf(error))
      const why = refused.detail ? `${refused.message}: ${refused.detail}` : refused.message
      this.#record(target, startedAt, { why })
      const body = this.#explain(refused.message)
      this.#dismiss(
        client,
        `HTTP/1.1 ${refused.status} ${REASON}\r\ncontent-type: text/plain\r\n` +
          `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
      )
    }
  }

  /** Keeps reading after the answer: a client that is cut off while sending does not see it. Ends within `stepMs`. */
  #dismiss(client: Socket, answer: string | Buffer): void {
    this.#dismissed.add(client)
    client.end(answer)
    client.resume()
    const timer = setTimeout(() => client.destroy(), this.#limits.stepMs)
    client.once('close', () => clearTimeout(timer))
  }

  /** Checks the target and connects to it. @throws Refused */
  async #connect(target: string, signal: AbortSignal): Promise<{ host: string; server: Socket }> {
    const host = this.#listed(target)
    const { tunnels, bytesUp, bytesDown } = this.#limits
    if (this.#opened >= tunnels) {
      throw new Refused(403, 'this conversation has opened as many tunnels as it may')
    }
    if (this.#bytesUp >= bytesUp || this.#bytesDown >= bytesDown) {
      throw new Refused(403, 'this conversation has moved as many bytes as it may')
    }
    const addresses = await this.#resolve(host)
    for (const address of addresses) {
      const refusal = this.#dialer.refusal(address)
      if (refusal) {
        throw new Refused(
          403,
          'its name does not lead to the public internet',
          `${address} is ${refusal}`,
        )
      }
    }
    const { port } = this.#dialer
    // A tunnel counts even if the client then sends nothing.
    this.#opened++
    try {
      const server = await dial({ host, port, addresses, ms: this.#limits.stepMs, signal })
      return { host, server }
    } catch (error) {
      throw new Refused(502, 'it cannot be reached', systemCodeOf(error) ?? messageOf(error))
    }
  }

  /** The listed host that `target` names. The list's spelling is used, never the client's. @throws Refused */
  #listed(target: string): string {
    const [, host = '', port] = /^([a-z0-9._-]{1,254}):(\d{1,5})$/i.exec(target) ?? []
    const name = host.toLowerCase().replace(/\.$/, '')
    if (!this.#hosts.has(name)) throw new Refused(403, 'this host is not in the list')
    if (port !== '443') throw new Refused(403, `port ${port} is not let through`)
    return name
  }

  async #resolve(host: string): Promise<string[]> {
    const { resolve } = this.#dialer
    const pending = this.#lookups.get(host)
    const lookedUp: Promise<string[]> =
      pending ??
      (isIP(host) ? Promise.resolve([host]) : resolve(host)).finally(() => {
        this.#lookups.delete(host)
      })
    this.#lookups.set(host, lookedUp)
    try {
      const addresses = await within(this.#limits.stepMs, lookedUp)
      if (addresses.length === 0) throw new Error('no addresses')
      return addresses
    } catch (error) {
      throw new Refused(
        502,
        'its name cannot be looked up',
        systemCodeOf(error) ?? messageOf(error),
      )
    }
  }

  /** Pipes both directions. Until the server has answered the ClientHello, it sends the server nothing else. */
  async #join(
    client: Socket,
    server: Socket,
    { host, hello }: { host: string; hello: Buffer },
    onEnd: (end: { why?: string; bytesUp: number; bytesDown: number }) => void,
  ): Promise<void> {
    const { idleMs, stepMs, bytesUp, bytesDown } = this.#limits
    let why: string | undefined
    let up = 0
    let down = 0
    const disconnect = () => {
      client.destroy()
      server.destroy()
    }
    const countUp = (chunk: Buffer) => {
      up += chunk.length
      this.#bytesUp += chunk.length
      if (this.#bytesUp > bytesUp) disconnect()
    }
    const sendUp = (bytes: Buffer) => {
      countUp(bytes)
      server.write(bytes)
    }
    server.on('data', (chunk) => {
      down += chunk.length
      this.#bytesDown += chunk.length
      if (this.#bytesDown > bytesDown) disconnect()
    })
    client.setTimeout(idleMs, disconnect)
    client.once('close', () => {
      disconnect()
      onEnd({ ...(why ? { why } : {}), bytesUp: up, bytesDown: down })
    })
    server.once('close', () => client.destroySoon())
    if (client.destroyed || server.destroyed) return disconnect()
    server.pipe(client)
    const refuse = (wrong: string) => {
      why = wrong
      server.destroy()
      this.#dismiss(client, ACCESS_DENIED)
    }
    sendUp(hello)
    const answer = await readServerHello(server)
    if (answer === 'ended') return void server.destroy()
    if (typeof answer === 'object') return refuse(answer.wrong)
    if (answer === 'asks again') {
      const second = await readHello(client, { host, ms: stepMs, isSecond: true })
      if ('wrong' in second) return refuse(second.wrong)
      sendUp(second.bytes)
    }
    if (server.destroyed) return
    client.on('data', countUp)
    client.pipe(server)
  }

  #explain(why: string): string {
    return `Refused: ${why}. From this sandbox, only https (CONNECT, port 443) to: ${[...this.#hosts].join(', ')}.\n`
  }

  #record(
    target: string,
    startedAt: number,
    { why, bytesUp = 0, bytesDown = 0 }: { why?: string; bytesUp?: number; bytesDown?: number },
  ): void {
    const ms = Math.round(performance.now() - startedAt)
    this.#onTarget({
      at: new Date(Date.now() - ms).toISOString(),
      target: target.slice(0, MAX_SHOWN),
      ...(why ? { why } : {}),
      bytesUp,
      bytesDown,
      ms,
    })
  }
}

/** The reason phrase: many clients show nothing else of a refusal. */
const REASON = 'Not allowed by AGENT_NETWORK'

const MAX_SHOWN = 100

/** A fatal TLS alert (RFC 8446, 6.2), which a TLS client in a tunnel understands. */
const ACCESS_DENIED = Buffer.from([21, 3, 3, 0, 2, 2, 49])

const publicDialer: Dialer = {
  async resolve(host) {
    return (await lookup(host, { all: true })).map(({ address }) => address)
  },
  refusal: (address) => addressRefusal(address),
  port: 443,
}

async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${ms / 1000} s`)), ms)
  })
  return Promise.race([work, late]).finally(() => clearTimeout(timer))
}
