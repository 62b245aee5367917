import type { ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import type { RecordedExchange } from '../../test/conformance/replay.ts'
import { sse } from '../../test/fakes/model-server.ts'
import { ACCOUNT, grant, USUAL_ACCOUNTS } from './accounts.ts'
import {
  type ClientResult,
  makeFolders,
  type OfficialClient,
  runClient,
  writeSignIn,
} from './client.ts'
import type { Recording } from './recording.ts'
import {
  type Answerer,
  headerOf,
  type LoopbackService,
  startLoopbackService,
  type WireRequest,
} from './service.ts'
import { webSocketAnswers } from './web-socket.ts'

/** The client's reaction to the answers of a recording. */
export interface Observed {
  seen: readonly WireRequest[]
  runs: ClientResult[]
}

export const isModelRequest = ({ method, path }: WireRequest) =>
  method === 'POST' && path.endsWith('/responses')

/** Plays the server's side of a recording to the client. */
export async function playRecording(
  client: OfficialClient,
  recording: Pick<Recording, 'client' | 'exchanges' | 'credentials'>,
  models: unknown,
): Promise<Observed> {
  const { args, websocket, atOnce } = recording.client
  const answers = answersOf(recording, models, () => {
    if (recording.credentials?.renewedByAnother) writeSignIn(folders, { leftMs: 2 * 60 * 60_000 })
  })
  const frames = webSocketAnswers(recording.exchanges)
  const service: LoopbackService = await startLoopbackService({
    request: answers,
    upgrade: (_seen, socket, key) => {
      if (websocket === true) return frames.take(socket, key)
      return websocket ?? { status: 426 }
    },
  })
  const folders = makeFolders(recording.client, service.proxyUrl)
  try {
    writeSignIn(folders, recording.credentials)
    const run = (runArgs: readonly string[]) =>
      runClient(client, ['exec', ...SWITCHES, ...runArgs], folders, service.proxyUrl)
    const runs: ClientResult[] = atOnce ? await Promise.all(args.map(run)) : []
    if (!atOnce) for (const runArgs of args) runs.push(await run(runArgs))
    const sent = frames.seen.map((body) => ({ ...UPGRADED, body }))
    return { seen: [...service.seen, ...sent], runs }
  } finally {
    await service.close()
    folders.remove()
  }
}

const SWITCHES = ['--skip-git-repo-check', '--dangerously-bypass-approvals-and-sandbox', '--json']

/** The request that a WebSocket frame stands for. */
const UPGRADED: Omit<WireRequest, 'body'> = {
  method: 'POST',
  host: 'chatgpt.com',
  path: '/backend-api/codex/responses',
  headers: [],
  at: 0,
}

function answersOf(
  { exchanges, credentials }: Pick<Recording, 'exchanges' | 'credentials'>,
  models: unknown,
  beforeFirst: () => void,
): Answerer['request'] {
  const queue = exchanges.flatMap(({ repeat = 1, ...exchange }) =>
    Array.from({ length: repeat }, () => exchange),
  )
  const accounts = credentials?.accountAnswers ?? []
  const tokens = [...(credentials?.tokenAnswers ?? [])]
  let accountChecks = 0
  let isFirst = true
  return async (request, response) => {
    const { path } = request
    if (path.includes('/codex/models'))
      return json(response, 200, models, { etag: '"models-etag-1"' })
    if (path.endsWith('/accounts/check')) {
      const answer = accounts[accountChecks] ?? accounts.at(-1)
      accountChecks++
      return json(response, answer?.status ?? 200, answer?.json ?? USUAL_ACCOUNTS)
    }
    if (path.endsWith('/oauth/token')) {
      const answer = tokens.shift()
      await sleep(credentials?.tokenDelayMs ?? 0)
      return json(response, answer?.status ?? 200, answer?.json ?? grant(ACCOUNT))
    }
    // The client does not depend on other endpoints.
    if (!isModelRequest(request)) return json(response, 404, {})
    if (isFirst) beforeFirst()
    isFirst = false
    const exchange = queue.shift()
    if (!exchange) return json(response, 400, { detail: 'The recording holds no more answers.' })
    return answer(response, exchange)
  }
}

export function json(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers })
  response.end(JSON.stringify(body))
}

async function answer(response: ServerResponse, exchange: RecordedExchange): Promise<void> {
  const { status = 200, headers = {}, events, eol, body, fault, byteByByte } = exchange
  if (fault === 'no-answer') return void response.destroy()
  if (!events && typeof body !== 'string') return json(response, status, body, headers)
  response.writeHead(status, { 'content-type': 'text/event-stream', ...headers })
  const bytes = Buffer.from(events ? sse(events, eol) : String(body))
  for (const piece of byteByByte ? bytes : [bytes]) {
    response.write(typeof piece === 'number' ? Buffer.of(piece) : piece)
    if (byteByByte) await sleep(1)
  }
  if (fault !== 'cut') return void response.end()
  // The written bytes must arrive before the connection closes.
  await sleep(20)
  response.destroy()
}

export const isUpgrade = (request: WireRequest) => headerOf(request, 'upgrade') !== undefined
