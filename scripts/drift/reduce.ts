import type { Item } from '../../shared/items.ts'
import { type Outline, outline } from '../../test/conformance/outline.ts'
import type { RecordedExchange, SentRequest } from '../../test/conformance/replay.ts'
import { isModelRequest, type Observed } from './play.ts'
import type { Credentials, Recording } from './recording.ts'
import { headerOf, type WireRequest } from './service.ts'

/** Headers whose values vary or identify the client: only their position is compared. */
const VARIES = new Set([
  'version',
  'x-codex-window-id',
  'x-codex-turn-metadata',
  'x-codex-routing-hint',
  'x-client-request-id',
  'session-id',
  'thread-id',
  'authorization',
  'chatgpt-account-id',
  'originator',
  'user-agent',
  // The same public key in every client; a fixture holds no key at all.
  'statsig-api-key',
])
const OF_THE_CONNECTION = new Set(['host', 'connection', 'content-length', 'transfer-encoding'])

/** Updates a recording with the observations; its script and its description stay. */
export function reduce(recording: Recording, { seen, runs }: Observed): Recording {
  const requests = seen.filter(isModelRequest)
  // A message that warms up a WebSocket has no exchange.
  const answered = requests.filter(
    ({ body }) => (body as { generate?: boolean }).generate !== false,
  )
  const { waits, sent, credentials, exchanges } = recording
  const isDone = runs.every(({ exitCode }) => exitCode === 0)
  return {
    ...recording,
    outcome: isDone ? 'done' : 'failed',
    requests: requests.length,
    ...waitsOf(waits, requests, exchanges),
    said: runs.flatMap(({ stdout }) => stdout.map(eventTypeOf)),
    ...(sent && requests[0] ? { sent: sentIn(requests[0]) } : {}),
    ...(credentials
      ? { credentials: { ...credentials, ...authRequestsIn(seen, credentials) } }
      : {}),
    exchanges: exchanges.map((exchange, index) => reducedExchange(exchange, answered, index)),
  }
}

/** The type of an event, and the type of its item. */
function eventTypeOf(line: string): string {
  try {
    const { type, item } = JSON.parse(line) as { type: string; item?: { type: string } }
    return item ? `${type} ${item.type}` : type
  } catch {
    return 'no JSON'
  }
}

export function headersOf({ headers }: WireRequest): Record<string, string> {
  return Object.fromEntries(
    headers
      .map(([name, value]) => [name.toLowerCase(), value] as const)
      .filter(([name]) => !OF_THE_CONNECTION.has(name))
      .map(([name, value]) => [name, VARIES.has(name) ? '…' : value]),
  )
}

function sentIn(request: WireRequest): SentRequest {
  const { input, ...body } = request.body as { input: Item[] }
  const varies = ['tools', 'prompt_cache_key', 'client_metadata']
  return {
    headers: headersOf(request),
    body: Object.fromEntries(
      Object.entries(body).map(([name, value]) => [name, varies.includes(name) ? '…' : value]),
    ),
    layout: input
      .map(({ type, role }) => ({ type, ...(role ? { role: String(role) } : {}) }))
      .map(plain),
  }
}

/** Drops the role of items other than messages: it is always the developer's. */
const plain = (item: Outline): Outline => (item.type === 'message' ? item : { type: item.type })

function authRequestsIn(seen: readonly WireRequest[], recorded: Credentials) {
  const countOf = (end: string) => seen.filter(({ path }) => path.endsWith(end)).length
  const tokenRequests = countOf('/oauth/token')
  // A client that retries in a loop during its start sends a number of requests that depends on the machine.
  const isNear = recorded.tokenRequests > 10 && Math.abs(recorded.tokenRequests - tokenRequests) < 6
  const [refresh] = seen.filter(({ path }) => path.endsWith('/oauth/token'))
  return {
    tokenRequests: isNear ? recorded.tokenRequests : tokenRequests,
    accountChecks: countOf('/accounts/check'),
    ...(refresh ? { refresh: { headers: headersOf(refresh), body: masked(refresh.body) } } : {}),
  }
}

const masked = (body: unknown) =>
  Object.fromEntries(
    Object.entries(body as object).map(([key, value]) => [
      key,
      key === 'refresh_token' ? '…' : value,
    ]),
  )

function reducedExchange(
  exchange: RecordedExchange,
  requests: readonly WireRequest[],
  index: number,
): RecordedExchange {
  const request = requests[index]
  const { echoed, conversation } = exchange
  const inputOf = (request: WireRequest | undefined) =>
    ((request?.body as { input?: Item[] })?.input ?? []) as Item[]
  const input = inputOf(request)
  if (conversation) return { ...exchange, conversation: input.filter(isConversation).map(outline) }
  if (!echoed) return exchange
  const first = inputOf(requests[0])
  // Over a WebSocket the client sends only new items.
  const isComplete = input.length > first.length
  return { ...exchange, echoed: (isComplete ? input.slice(first.length) : input).map(outline) }
}

/** False for the items that the client puts before every conversation. */
function isConversation({ type, role, content }: Item): boolean {
  if (type === 'additional_tools' || role === 'developer') return false
  return !(role === 'user' && /<environment_context>|AGENTS\.md/.test(JSON.stringify(content)))
}

/** Classifies the first wait: exact times differ from run to run. */
function waitsOf(
  recorded: Recording['waits'],
  requests: readonly WireRequest[],
  exchanges: readonly RecordedExchange[],
): Pick<Recording, 'waits'> {
  const [first, second] = requests
  if (!recorded || !first || !second) return {}
  const waitMs = second.at - first.at
  const text = JSON.stringify(exchanges[0]?.events ?? [])
  const hint = exchanges[0]?.headers?.['retry-after'] ?? /try again in ([\d.]+)s/.exec(text)?.[1]
  if (hint) return waitMs >= Number(hint) * 1000 - 50 ? { waits: 'as asked' } : {}
  return waitMs >= 100 && waitMs < 5000 ? { waits: 'growing' } : {}
}

/** The background requests, each once: `GET host/path` with its headers. */
export function backgroundOf(seen: readonly WireRequest[]): Record<string, Record<string, string>> {
  const background = new Map<string, Record<string, string>>()
  for (const request of seen) {
    if (
      isModelRequest(request) ||
      headerOf(request, 'upgrade') ||
      request.path.endsWith('/oauth/token')
    )
      continue
    const name = `${request.method} ${request.host}${request.path.split('?')[0]}`
    if (!background.has(name)) background.set(name, headersOf(request))
  }
  return Object.fromEntries([...background].sort(([a], [b]) => a.localeCompare(b)))
}
