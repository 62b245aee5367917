import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Item } from '../../shared/items.ts'
import { sse } from '../fakes/model-server.ts'
import { refusalOf } from '../fakes/service-rules.ts'
import type { Recording } from './replay.ts'

/** The whole model service of one recording: answers, and the question about the workspace. */
export interface RecordedService {
  readonly baseUrl: URL
  /** Every request for an answer. */
  readonly requests: SeenRequest[]
  readonly accountChecks: number
  /** What else was asked, as `GET /path`. */
  readonly beside: Set<string>
  /** Awaited before the next request for an answer gets its own. */
  beforeAnswer: (() => Promise<void>) | undefined
  /** Rejects when a request was one that the service is known to refuse. */
  close(): Promise<void>
}

export interface SeenRequest {
  headers: Record<string, string | string[] | undefined>
  body: { input: Item[]; [key: string]: unknown }
}

export async function startRecordedService(recorded: Recording): Promise<RecordedService> {
  const waiting = [...recorded.exchanges]
  const accountAnswers = recorded.credentials?.accountAnswers ?? []
  const requests: RecordedService['requests'] = []
  const beside = new Set<string>()
  const violations: string[] = []
  let accountChecks = 0

  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    const path = request.url?.split('?')[0] ?? ''
    if (!path.endsWith('/responses')) beside.add(`${request.method} ${path}`)
    const json = { 'content-type': 'application/json' }
    if (path.endsWith('/accounts/check')) {
      const answer = accountAnswers[accountChecks] ?? accountAnswers.at(-1) ?? USUAL_WORKSPACE
      accountChecks += 1
      response.writeHead(answer.status, json).end(JSON.stringify(answer.json))
    } else if (path.endsWith('/responses')) {
      const body = JSON.parse(Buffer.concat(chunks).toString())
      requests.push({ headers: request.headers, body })
      const header = (name: string) => request.headers[name]?.toString()
      const refused = refusalOf({ header, body })
      if (refused) {
        violations.push(JSON.stringify(refused.body))
        return void response.writeHead(refused.status, json).end(JSON.stringify(refused.body))
      }
      const exchange = waiting.shift()
      await service.beforeAnswer?.()
      if (!exchange) response.writeHead(400).end('The recording holds no more answers.')
      else if (exchange.events) {
        const type = { 'content-type': 'text/event-stream' }
        response.writeHead(200, { ...type, ...exchange.headers }).end(sse(exchange.events))
      } else response.writeHead(exchange.status ?? 200, json).end(JSON.stringify(exchange.body))
    } else response.writeHead(404).end()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')

  const { port } = server.address() as AddressInfo
  const service: RecordedService = {
    baseUrl: new URL(`http://127.0.0.1:${port}/backend-api/codex`),
    requests,
    beside,
    get accountChecks() {
      return accountChecks
    },
    beforeAnswer: undefined,
    close: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
      if (violations.length > 0) throw new Error(`The service would refuse: ${violations}`)
    },
  }
  return service
}

const none = 'NO_CONSTRAINT'
const USUAL_WORKSPACE = {
  status: 200,
  json: {
    accounts: [{ id: 'account-1', workspace_backend_origin: none, account_routing_override: none }],
  },
}
