import { lookup } from 'node:dns/promises'
import type http from 'node:http'
import { isIP, type Socket } from 'node:net'
import { messageOf, systemCodeOf } from '../../../shared/errors.ts'
import type { EgressLine } from '../../gateway/request-log.ts'
import { addressRefusal } from '../../net/public-address.ts'
import { dial } from './dial.ts'
import { readHello } from './read-hello.ts'
import { readServerHello } from './server-hello.ts'

/** What came of one request for a tunnel. */
export type TunnelRecord = Omit<EgressLine, 'conversation'>

/** How a host is reached. */
export interface Dialer {
  /** All addresses of a name. */
  resolve(host: string): Promise<string[]>
  /** Why an address must not be gone to, or undefined. */
  refusal(address: string): string | undefined
  port: number
}

export interface EgressOptions {
  /** Exact names. */
  allow: readonly string[]
  /** Called when a request has been refused, or its tunnel has ended. Must not throw. */
  onTarget?: (target: TunnelRecord) => void
  /** Default: the name service of this machine, the public internet, 443. */
  way?: Dialer
  limits?: Partial<EgressLimits>
}

/** Bounds, for one conversation together. */
export interface EgressLimits {
  connections: number
  /** In all; each is taken down. */
  tunnels: number
  /** A tunnel in which nothing moves is closed after this. */
  idleMs: number
  /** How long it may take to say what is wanted, to look up a name, and to connect. */
  stepMs: number
  bytesUp: number
  bytesDown: number
}

const GiB = 1024 ** 3

export const LIMITS: EgressLimits = {
  connections: 128,
  // A large npm install has some hundred.
  tunnels: 10_000,
  // A server may pack a large repository for minutes without a word.
  idleMs: 10 * 60_000,
  stepMs: 15_000,
  bytesUp: 2 * GiB,
  bytesDown: 16 * GiB,
}

/** An answer instead of a tunnel. */
class Refused extends Error {
  readonly status: 403 | 502
  /** What the container need not know: what names lead to within this network. */
  readonly detail: string

  constructor(status: 403 | 502, message: string, detail = '') {
    super(message)
    this.status = status
    this.detail = detail
  }
}

/** Decides who gets a tunnel, and counts what goes through. */
export class Tunnels {
  readonly #hosts: ReadonlySet<string>
  readonly #limits: EgressLimits
  readonly #way: Dialer
  readonly #onTarget: (target: TunnelRecord) => void
  /** One at a time for each name, however many ask: they occupy threads of this process. */
  readonly #lookups = new Map<string, Promise<string[]>>()
  readonly #dismissed = new WeakSet<object>()
  #opened = 0
  #bytesUp = 0
  #bytesDown = 0

  constructor(
    hosts: readonly string[],
    limits: EgressLimits,
    { way = publicWay, onTarget = () => {} }: EgressOptions,
  ) {
    this.#hosts = new Set(hosts)
    this.#limits = limits
    this.#way = way
    this.#onTarget = onTarget
  }

  /** Whether `client` has had an answer that is no tunnel, or the end of one: it gets nothing more. */
  hasDismissed(client: Socket): boolean {
    return this.#dismissed.has(client)
  }

  /** Whatever is no CONNECT: plain http, mostly. */
  turnAway(request: http.IncomingMessage, response: http.ServerResponse): void {
    // The rest of it may be anybody's secret.
    const { url = '' } = request
    const host = URL.canParse(url) ? new URL(url).host : ''
    const why = 'plain http is not let through'
    this.#dismissed.add(request.socket)
    this.#note(`${request.method} ${host}`, performance.now(), { why })
    const body = this.#explain(why)
    response.writeHead(403, REASON, { 'content-type': 'text/plain', connection: 'close' })
    response.end(body)
  }

  /** Never rejects. */
  async open(request: http.IncomingMessage, client: Socket, head: Buffer): Promise<void> {
    // The server has given it up with the request, and an error would be nobody's and end this process.
    client.on('error', () => client.destroy())
    if (this.hasDismissed(client)) return void client.destroySoon()
    const startedAt = performance.now()
    const asked = request.url ?? ''
    const gone = new AbortController()
    client.once('close', () => gone.abort())
    try {
      const { host, server } = await this.#connect(asked, gone.signal)
      client.write('HTTP/1.1 200 Connection established\r\n\r\n')
      const first = await readHello(client, { head, host, ms: this.#limits.stepMs })
      if ('wrong' in first) {
        this.#note(asked, startedAt, { why: first.wrong })
        server.destroy()
        this.#dismiss(client, ACCESS_DENIED)
      } else {
        await this.#join(client, server, { host, hello: first.bytes }, (end) =>
          this.#note(asked, startedAt, end),
        )
      }
    } catch (error) {
      const refused =
        error instanceof Refused ? error : new Refused(502, 'failed', messageOf(error))
      const why = refused.detail ? `${refused.message}: ${refused.detail}` : refused.message
      this.#note(asked, startedAt, { why })
      const body = this.#explain(refused.message)
      this.#dismiss(
        client,
        `HTTP/1.1 ${refused.status} ${REASON}\r\ncontent-type: text/plain\r\n` +
          `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
      )
    }
  }

  /** Cut off while it still sends, it would not see the answer; but it does not get long for it. */
  #dismiss(client: Socket, answer: string | Buffer): void {
    this.#dismissed.add(client)
    client.end(answer)
    client.resume()
    const late = setTimeout(() => client.destroy(), this.#limits.stepMs)
    client.once('close', () => clearTimeout(late))
  }

  /** A connection to the host that is asked for. @throws Refused */
  async #connect(asked: string, signal: AbortSignal): Promise<{ host: string; server: Socket }> {
    const host = this.#listed(asked)
    const { tunnels, bytesUp, bytesDown } = this.#limits
    if (this.#opened >= tunnels) {
      throw new Refused(403, 'this conversation has opened as many tunnels as it may')
    }
    if (this.#bytesUp >= bytesUp || this.#bytesDown >= bytesDown) {
      throw new Refused(403, 'this conversation has moved as many bytes as it may')
    }
    const addresses = await this.#resolve(host)
    for (const address of addresses) {
      const refusal = this.#way.refusal(address)
      if (refusal) {
        throw new Refused(
          403,
          'its name does not lead to the public internet',
          `${address} is ${refusal}`,
        )
      }
    }
    const { port } = this.#way
    // Also one that the client then says nothing in.
    this.#opened++
    try {
      const server = await dial({ host, port, addresses, ms: this.#limits.stepMs, signal })
      return { host, server }
    } catch (error) {
      throw new Refused(502, 'it cannot be reached', systemCodeOf(error) ?? messageOf(error))
    }
  }

  /** Nothing of what is asked is used further: the name is that of the list. */
  #listed(asked: string): string {
    const [, host = '', port] = /^([a-z0-9._-]{1,254}):(\d{1,5})$/i.exec(asked) ?? []
    const name = host.toLowerCase().replace(/\.$/, '')
    if (!this.#hosts.has(name)) throw new Refused(403, 'this host is not in the list')
    if (port !== '443') throw new Refused(403, `port ${port} is not let through`)
    return name
  }

  async #resolve(host: string): Promise<string[]> {
    const { resolve } = this.#way
    const known = this.#lookups.get(host)
    const lookedUp: Promise<string[]> =
      known ??
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

  /** Passes on what they say, of the client nothing but its hello before the server has answered that. */
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
    const part = () => {
      client.destroy()
      server.destroy()
    }
    const countUp = (chunk: Buffer) => {
      up += chunk.length
      this.#bytesUp += chunk.length
      if (this.#bytesUp > bytesUp) part()
    }
    const say = (bytes: Buffer) => {
      countUp(bytes)
      server.write(bytes)
    }
    server.on('data', (chunk) => {
      down += chunk.length
      this.#bytesDown += chunk.length
      if (this.#bytesDown > bytesDown) part()
    })
    client.setTimeout(idleMs, part)
    client.once('close', () => {
      part()
      onEnd({ ...(why ? { why } : {}), bytesUp: up, bytesDown: down })
    })
    server.once('close', () => client.destroySoon())
    if (client.destroyed || server.destroyed) return part()
    server.pipe(client)
    const refuse = (wrong: string) => {
      why = wrong
      server.destroy()
      this.#dismiss(client, ACCESS_DENIED)
    }
    say(hello)
    const answer = await readServerHello(server)
    if (answer === 'ended') return void server.destroy()
    if (typeof answer === 'object') return refuse(answer.wrong)
    if (answer === 'asks again') {
      const second = await readHello(client, { host, ms: stepMs, isSecond: true })
      if ('wrong' in second) return refuse(second.wrong)
      say(second.bytes)
    }
    if (server.destroyed) return
    client.on('data', countUp)
    client.pipe(server)
  }

  #explain(why: string): string {
    return `Refused: ${why}. From this sandbox, only https (CONNECT, port 443) to: ${[...this.#hosts].join(', ')}.\n`
  }

  #note(
    asked: string,
    startedAt: number,
    { why, bytesUp = 0, bytesDown = 0 }: { why?: string; bytesUp?: number; bytesDown?: number },
  ): void {
    const ms = Math.round(performance.now() - startedAt)
    this.#onTarget({
      at: new Date(Date.now() - ms).toISOString(),
      target: asked.slice(0, MAX_SHOWN),
      ...(why ? { why } : {}),
      bytesUp,
      bytesDown,
      ms,
    })
  }
}

/** Many clients show this and nothing else of an answer. */
const REASON = 'Not allowed by AGENT_NETWORK'

const MAX_SHOWN = 100

/** A fatal alert of TLS (RFC 8446, 6.2): what a client in a tunnel understands. */
const ACCESS_DENIED = Buffer.from([21, 3, 3, 0, 2, 2, 49])

const publicWay: Dialer = {
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
