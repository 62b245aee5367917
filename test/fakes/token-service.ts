import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Exchange } from './model-server.ts'

/** The model service as far as tokens go: it looks at each, and plays a script to whose is good. */
export interface TokenService {
  readonly baseUrl: URL
  /** The token of every request for an answer, in order. */
  readonly tokens: string[]
  /** Access tokens that have ended for it. */
  readonly refused: Set<string>
  refusesAll: boolean
  /** Adds to the script: answers with 200, and what happens when one has been asked for. */
  play(...script: (Exchange | (() => void))[]): void
  close(): Promise<void>
}

export async function startTokenService(): Promise<TokenService> {
  const script: (Exchange | (() => void))[] = []
  const refused = new Set<string>()
  const tokens: string[] = []

  const server = createServer(async (request, response) => {
    for await (const _ of request);
    if (request.url !== '/backend-api/codex/responses') {
      response.writeHead(404).end()
      return
    }
    const token = (request.headers.authorization ?? '').replace('Bearer ', '')
    tokens.push(token)
    if (service.refusesAll || refused.has(token)) {
      response.writeHead(401, { 'content-type': 'application/json' })
      // A service that quotes the request.
      response.end(JSON.stringify({ error: { code: 'token_expired', message: `Not ${token}` } }))
      return
    }
    const answer = script.shift()
    if (typeof script[0] === 'function') (script.shift() as () => void)()
    if (typeof answer !== 'object') {
      response.writeHead(400).end('The test asked for more than its script holds.')
      return
    }
    response.writeHead(200, { 'content-type': 'text/event-stream' }).end(answer.body)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')

  const { port } = server.address() as AddressInfo
  const service: TokenService = {
    baseUrl: new URL(`http://127.0.0.1:${port}/backend-api/codex`),
    tokens,
    refused,
    refusesAll: false,
    play: (...more) => void script.push(...more),
    close: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
  return service
}
