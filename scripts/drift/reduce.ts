import type { Item } from '../../shared/items.ts'
import { type Outline, outline } from '../../test/conformance/outline.ts'
import type { RecordedExchange, SentRequest } from '../../test/conformance/replay.ts'
import { isModelRequest, type Observed } from './play.ts'
import type { Credentials, Recording } from './recording.ts'
import { headerOf, type Seen } from './service.ts'

/** Values that are different each time, or say who asks: their place counts alone. */
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
  // Public, as it is in every client, and a key all the same.
  'statsig-api-key',
])
const OF_THE_CONNECTION = new Set(['host', 'connection', 'content-length', 'transfer-encoding'])

/** The recording as it would be made of what was seen now; its script and its words stay. */
export function reduce(recording: Recording, { seen, runs }: Observed): Recording {
  const requests = seen.filter(isModelRequest)
  // A message that warms a WebSocket has no exchange of its own.
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
    said: runs.flatMap(({ stdout }) => stdout.map(saidIn)),
    ...(sent && requests[0] ? { sent: sentIn(requests[0]) } : {}),
    ...(credentials ? { credentials: { ...credentials, ...asked(seen, credentials) } } : {}),
    exchanges: exchanges.map((exchange, index) => reducedExchange(exchange, answered, index)),
  }
}

/** The type of an event, and that of the item in it. */
function saidIn(line: string): string {
  try {
    const { type, item } = JSON.parse(line) as { type: string; item?: { type: string } }
    return item ? `${type} ${item.type}` : type
  } catch {
    return 'no JSON'
  }
}

export function headersOf({ headers }: Seen): Record<string, string> {
  return Object.fromEntries(
    headers
      .map(([name, value]) => [name.toLowerCase(), value] as const)
      .filter(([name]) => !OF_THE_CONNECTION.has(name))
      .map(([name, value]) => [name, VARIES.has(name) ? '…' : value]),
  )
}

function sentIn(request: Seen): SentRequest {
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

/** The role of the one item that only a developer can send says nothing. */
const plain = (item: Outline): Outline => (item.type === 'message' ? item : { type: item.type })

function asked(seen: readonly Seen[], recorded: Credentials) {
  const times = (end: string) => seen.filter(({ path }) => path.endsWith(end)).length
  const tokenRequests = times('/oauth/token')
  // A client that asks again and again, as long as it starts, does so as often as the machine lets it.
  const isNear = recorded.tokenRequests > 10 && Math.abs(recorded.tokenRequests - tokenRequests) < 6
  const [refresh] = seen.filter(({ path }) => path.endsWith('/oauth/token'))
  return {
    tokenRequests: isNear ? recorded.tokenRequests : tokenRequests,
    accountChecks: times('/accounts/check'),
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
  requests: readonly Seen[],
  index: number,
): RecordedExchange {
  const request = requests[index]
  const { echoed, conversation } = exchange
  const inputOf = (one: Seen | undefined) =>
    ((one?.body as { input?: Item[] })?.input ?? []) as Item[]
  const input = inputOf(request)
  if (conversation) return { ...exchange, conversation: input.filter(isSaid).map(outline) }
  if (!echoed) return exchange
  const first = inputOf(requests[0])
  // Over a WebSocket only what is new is sent.
  const isWhole = input.length > first.length
  return { ...exchange, echoed: (isWhole ? input.slice(first.length) : input).map(outline) }
}

/** What the client puts in front of every conversation is not a part of it. */
function isSaid({ type, role, content }: Item): boolean {
  if (type === 'additional_tools' || role === 'developer') return false
  return !(role === 'user' && /<environment_context>|AGENTS\.md/.test(JSON.stringify(content)))
}

/** By the first of the waits: the figures themselves differ from run to run. */
function waitsOf(
  recorded: Recording['waits'],
  requests: readonly Seen[],
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

/** What is asked beside answers, once each: `GET host/path` with its headers. */
export function backgroundOf(seen: readonly Seen[]): Record<string, Record<string, string>> {
  const found = new Map<string, Record<string, string>>()
  for (const one of seen) {
    if (isModelRequest(one) || headerOf(one, 'upgrade') || one.path.endsWith('/oauth/token'))
      continue
    const name = `${one.method} ${one.host}${one.path.split('?')[0]}`
    if (!found.has(name)) found.set(name, headersOf(one))
  }
  return Object.fromEntries([...found].sort(([a], [b]) => a.localeCompare(b)))
}
