import { ACCOUNT, grant } from './accounts.ts'
import { makeFolders, type OfficialClient, runClient, writeSignIn } from './client.ts'
import { json } from './play.ts'
import { headersOf } from './reduce.ts'
import { startLoopbackService, type WireRequest } from './service.ts'

/** A recorded sign-in of the official client. */
export interface SignIn {
  client: string
  exitCode: number
  authorizeUrl?: string
  browser?: Visit[]
  exchanges: (Request & { answer: { status: number; json: unknown } })[]
}

/** A request to the client's callback server, and its response. */
interface Visit {
  name: string
  url: string
  status: number
  location?: string
}

interface Request {
  method: string
  path: string
  headers: Record<string, string>
  body: unknown
}

/** How to make each recording of test/fixtures/sign-in. */
export const SIGN_INS: Record<string, { args: string[]; config?: string; isSignedIn?: true }> = {
  browser: { args: ['login'] },
  'browser-refused': { args: ['login'] },
  'browser-cancelled': { args: ['login'] },
  'browser-other-workspace': {
    args: ['login'],
    config: 'forced_chatgpt_workspace_id = "ws-required"\n',
  },
  device: { args: ['login', '--device-auth'] },
  'device-disabled': { args: ['login', '--device-auth'] },
  'device-denied': { args: ['login', '--device-auth'] },
  logout: { args: ['logout'], isSignedIn: true },
}

/** Records the sign-in with this client. */
export async function playSignIn(
  client: OfficialClient,
  name: string,
  recorded: SignIn,
): Promise<SignIn> {
  const { args, config, isSignedIn } = SIGN_INS[name] ?? { args: ['login'] }
  const sent: WireRequest[] = []
  const service = await startLoopbackService({
    upgrade: () => ({ status: 426 }),
    request: async (request, response) => {
      const answer = recorded.exchanges[sent.length]?.answer
      sent.push(request)
      json(response, answer?.status ?? 400, answer ? withTokens(answer.json) : {})
    },
  })
  const folders = makeFolders(config ? { config } : {}, service.proxyUrl)
  let authorizeUrl: string | undefined
  let visits: Promise<Visit[]> = Promise.resolve([])
  try {
    if (isSignedIn) writeSignIn(folders)
    const { exitCode } = await runClient(client, args, folders, service.proxyUrl, (line) => {
      const url = /https:\/\/\S+\/oauth\/authorize\?\S+/.exec(line)?.[0]
      if (!url || authorizeUrl) return
      authorizeUrl = url
      visits = visitAll(recorded, url)
    })
    const browser = await visits
    return {
      ...recorded,
      exitCode: exitCode ?? -1,
      ...(authorizeUrl ? { authorizeUrl } : {}),
      ...(browser.length > 0 ? { browser } : {}),
      exchanges: sent.map((request, index) => ({
        method: request.method,
        path: request.path,
        headers: realHeaders(request),
        body: request.body,
        answer: recorded.exchanges[index]?.answer ?? { status: 400, json: {} },
      })),
    }
  } finally {
    await service.close()
    folders.remove()
  }
}

/** With the unmasked values: a sign-in's comparison includes the client's identity. */
function realHeaders(request: WireRequest): Record<string, string> {
  const real = new Map(request.headers.map(([name, value]) => [name.toLowerCase(), value]))
  return Object.fromEntries(
    Object.keys(headersOf(request)).map((name) => [name, real.get(name) ?? '']),
  )
}

async function visitAll(recorded: SignIn, authorizeUrl: string): Promise<Visit[]> {
  const { searchParams } = new URL(authorizeUrl)
  const recordedState =
    new URL(recorded.authorizeUrl ?? authorizeUrl).searchParams.get('state') ?? ''
  const { port } = new URL(searchParams.get('redirect_uri') ?? 'http://127.0.0.1:1455')
  const visits: Visit[] = []
  for (const { name, url } of recorded.browser ?? []) {
    const redirect = visits.at(-1)?.location
    const next = new URL(redirect ?? url.replace(recordedState, searchParams.get('state') ?? ''))
    next.port = port
    const answer = await fetch(next, { redirect: 'manual' })
    await answer.text()
    const location = answer.headers.get('location')
    visits.push({
      name,
      url: next.href,
      status: answer.status,
      ...(location ? { location } : {}),
    })
  }
  return visits
}

/** Replaces the masks of a recording by tokens that the client can parse. */
function withTokens(answer: unknown): unknown {
  const { id_token, access_token } = grant(ACCOUNT)
  const text = JSON.stringify(answer)
    .replaceAll('<FAKE_JWT id>', id_token)
    .replaceAll('<FAKE_JWT access>', access_token)
  return JSON.parse(text)
}

/** Normalises values that vary: random values become their length; tokens, ports and versions are masked. */
export function comparable({ client: _, ...signIn }: SignIn & { date?: unknown }): unknown {
  const { date: __, ...rest } = signIn
  const { exchanges, browser, authorizeUrl } = rest
  return {
    exitCode: rest.exitCode,
    ...(authorizeUrl ? { authorizeUrl: query(authorizeUrl) } : {}),
    ...(browser
      ? {
          browser: browser.map(({ name, status, location }) => ({
            name,
            status,
            ...(location ? { location: query(location) } : {}),
          })),
        }
      : {}),
    exchanges: exchanges.map(({ method, path, headers, body }) => ({
      method,
      path,
      headers: Object.fromEntries(
        Object.entries(headers).map(([name, value]) => [
          name,
          name === 'user-agent' ? value.replace(/\d+\.\d+\.\d+.*/, '<version and machine>') : value,
        ]),
      ),
      body:
        typeof body === 'string'
          ? Object.fromEntries(
              [...new URLSearchParams(body)].map(([key, value]) => [key, plain(key, value)]),
            )
          : body,
    })),
  }
}

function query(url: string): Record<string, string> {
  const { origin, pathname, searchParams } = new URL(url)
  const fields = [...searchParams].map(([key, value]) => [key, plain(key, value)] as const)
  return { address: `${origin.replace(/:\d+$/, '')}${pathname}`, ...Object.fromEntries(fields) }
}

function plain(key: string, value: string): string {
  if (/^(eyJ|<FAKE_JWT)/.test(value)) return '<token>'
  if (/^(state|code_challenge|code_verifier)$/.test(key) && value.length > 20) {
    return `${value.length} random characters`
  }
  return key === 'redirect_uri' ? value.replace(/:\d+\//, '/') : value
}
