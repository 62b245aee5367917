import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { readCodexSignIn } from '../../host/auth/sign-in/codex-import.ts'
import { fileTokenStore } from '../../host/auth/token-store.ts'
import { codexProvider } from '../../host/providers/codex.ts'
import type { FinishedEvent } from '../../shared/protocol.ts'
import { unsignedJwt } from '../fakes/issuer.ts'
import { callsAnswer, itemsAnswer, sse, textAnswer } from '../fakes/model-server.ts'
import { someTokens } from '../fakes/some-tokens.ts'
import { ConformanceTable } from './conformance-table.ts'
import { heldAgainst } from './held-against.ts'
import { hostScene, runOnHost } from './host-scene.ts'
import { addedItems, type Cleanup, play, type Recording, recording } from './replay.ts'

const checks = new ConformanceTable('Small checks')
const left = new ConformanceTable('Not done on purpose')

interface SmallChecks {
  checks: { name: string; set_up: string; seen: string }[]
}

const fixture = <T>(name: string): T =>
  JSON.parse(readFileSync(join(import.meta.dirname, `../fixtures/recordings/${name}.json`), 'utf8'))

/** Enters what ours was seen to do, in the words of the check where it is the same. */
function seen(name: string, ours: string, why?: string): void {
  const check = fixture<SmallChecks>('small-checks').checks.find((each) => each.name === name)
  checks.add({
    name,
    about: check?.set_up ?? '',
    theirs: { seen: check?.seen ?? '' },
    ours: { seen: ours },
    ...(why ? { why: { seen: why } } : {}),
  })
}

const oneAnswer = (): Recording => recording('23c-proactive-exp-6min')

function providerOf(
  { dataDir, issuer, service }: Awaited<ReturnType<typeof hostScene>>,
  now?: number,
) {
  return codexProvider({
    config: { dataDir, authIssuer: issuer.url, codexBaseUrl: service.baseUrl },
    ...(now ? { now: () => now } : {}),
  })
}

describe('a sign-in', () => {
  test('is renewed five minutes before its end', async (t) => {
    const host = await hostScene(t, oneAnswer())
    const outcomes: string[] = []
    for (const seconds of [290, 298, 303, 312]) {
      const now = Date.now()
      const expires_at = now + seconds * 1000
      await fileTokenStore(host.dataDir).replace(someTokens({ ...host.issuer.grant(), expires_at }))
      const before = host.issuer.counts.refresh
      await providerOf(host, now).getSecrets()
      outcomes.push(host.issuer.counts.refresh > before ? 'refresh' : 'no refresh')
    }
    seen('refresh-margin', outcomes.join(' / '))
  })

  test('may lack an account', async (t) => {
    const host = await hostScene(t, oneAnswer())
    const { account_id: _, ...tokens } = someTokens(host.issuer.grant())
    await fileTokenStore(host.dataDir).replace(tokens)

    const end = (await runOnHost(host)).at(-1) as FinishedEvent

    const isNamed = host.service.requests.some(({ headers }) => headers['chatgpt-account-id'])
    seen(
      'no-account-id',
      [
        host.service.accountChecks === 0 ? 'accounts/check is not called' : 'it is called',
        isNamed ? 'an account is named' : 'no chatgpt-account-id header',
        end.status === 'done' ? 'turn succeeds' : 'turn fails',
      ].join('; '),
    )
  })

  test('of the official client may lack the time of its last renewal', async (t) => {
    const host = await hostScene(t, oneAnswer())
    const file = join(host.workspace, 'auth.json')
    const { access_token: _, ...granted } = host.issuer.grant()
    const exp = Math.floor(Date.now() / 1000) + 3600
    const tokens = { ...granted, access_token: unsignedJwt({ exp }) }
    writeFileSync(file, JSON.stringify({ auth_mode: 'chatgpt', tokens }))
    await fileTokenStore(host.dataDir).replace(readCodexSignIn(file, Date.now()))

    const end = (await runOnHost(host)).at(-1) as FinishedEvent

    const { refresh } = host.issuer.counts
    seen(
      'no-last-refresh',
      `loads; turn ${end.status === 'done' ? 'succeeds' : 'fails'}; ${refresh} refresh`.replace(
        '0 ',
        'no ',
      ),
    )
  })

  test('needs no workspace at a server that was set by hand', async (t) => {
    const recorded = oneAnswer()
    const credentials = { tokenRequests: 0, accountChecks: 0 }
    const accountAnswers = [{ status: 404, json: { detail: 'Not Found' } }]
    const host = await hostScene(t, {
      ...recorded,
      credentials: { ...credentials, accountAnswers },
    })

    const end = (await runOnHost(host)).at(-1) as FinishedEvent

    expect(host.service.accountChecks).toBe(1)
    seen('foreign-base-url', end.status === 'done' ? 'turn succeeds' : 'turn fails')
  })

  test('is renewed once, however many ask', async (t) => {
    const host = await hostScene(t, oneAnswer())
    const expires_at = Date.now() + 60_000
    await fileTokenStore(host.dataDir).replace(someTokens({ ...host.issuer.grant(), expires_at }))
    host.issuer.beforeRefreshAnswer = () => new Promise((resolve) => setTimeout(resolve, 400))

    const all = await Promise.all([1, 2, 3].map(() => providerOf(host).getSecrets()))

    expect(new Set(all.map((secrets) => secrets.CODEX_ACCESS_TOKEN)).size).toBe(1)
    expect(host.issuer.reuses).toEqual([])
    seen(
      'three-clients-one-home',
      `${host.issuer.counts.refresh} refresh request; all three have its token`,
      'A refresh token is good for one use: a second one may end the sign-in.',
    )
  })
})

describe('a run', () => {
  test('keeps to the first turn state', async (t) => {
    const withState = (state: string, exchange: object) => ({
      ...exchange,
      headers: { 'x-codex-turn-state': state },
    })
    const call = callsAnswer(['bash', { command: 'true' }])
    const script = [withState('A', call), withState('B', call), withState('C', textAnswer())]
    const { server } = await play(t, script)

    const carried = server.requests.map((request) => request.header('x-codex-turn-state'))
    seen('turn-state', `requests carry: ${carried.map((state) => state ?? 'nothing').join(', ')}`)
  })

  test('ends at an error event, and says what it says', async (t) => {
    const error = { type: 'usage_limit_reached', message: 'The usage limit has been reached' }
    const { finished, server } = await play(t, [{ body: sse([{ type: 'error', error }]) }])

    expect(finished.error?.code).toBe('usage-limit')
    const turn = finished.status === 'failed' ? 'turn fails' : 'turn succeeds'
    seen(
      'error-event',
      `${server.requests.length} request, ${turn}`,
      'An `error` event is read like a refused request: a limit of hours is not lifted by five retries.',
    )
  })

  test('sends reasoning back that is not encrypted', async (t) => {
    const item = {
      type: 'reasoning',
      id: 'rs_1',
      summary: [],
      content: [{ type: 'reasoning_text', text: 'Hm.' }],
      encrypted_content: null,
    }
    const { server } = await play(t, [itemsAnswer([item], { end_turn: false }), textAnswer()])

    const isSame = JSON.stringify(addedItems(server, 1)) === JSON.stringify([item])
    seen(
      'reasoning-without-encryption',
      isSame ? 'resent unchanged, content and null included' : 'resent otherwise',
    )
  })
})

const HTTP =
  'codexbox asks over HTTP, with one request for each answer: that passes proxies, and the socket of a container without a network. ' +
  'A WebSocket would save sending the history again, whose beginning the service caches in any case.'

describe.concurrent('what a WebSocket brought', () => {
  const cases: [name: string, differs: string[]][] = [
    ['95-websocket-text', ['transport', 'requests']],
    ['96-websocket-tool', ['transport', 'requests', 'sent back']],
    ['97-websocket-error-frames', ['transport', 'requests']],
  ]

  test.for(cases)('%s: comes over HTTP just as well', async ([name, differs], t) => {
    await heldAgainst(t, left, name, {
      first: [
        { transport: 'over a WebSocket, with a request ahead to warm it' },
        { transport: 'over HTTP' },
      ],
      why: Object.fromEntries(differs.map((fact) => [fact, HTTP])),
    })
  })

  test.for(['websocket-401', 'websocket-403', 'websocket-429'])(
    '%s: is never met',
    async (name, t) => {
      const { server } = await play(t as Cleanup, [textAnswer()])

      const upgrades = server.requests.filter((request) => request.header('upgrade'))
      seen(name, `${upgrades.length} upgrades`, HTTP)
    },
  )
})

test('01-text: a run tells that a limit is nearly used up, and only the first one does', async (t) => {
  const recorded = recording('01-text-gpt-5.5')
  const headers = {
    ...recorded.exchanges[0]?.headers,
    'x-codex-primary-used-percent': '85.5',
    'x-codex-primary-reset-at': String(Math.floor(Date.now() / 1000) + 7200),
  }
  const exchange = { ...recorded.exchanges[0], headers }
  const host = await hostScene(t, { ...recorded, exchanges: [exchange, exchange] })
  const toldIn = async () =>
    (await runOnHost(host)).flatMap((event) =>
      event.type === 'notice' && event.message.includes('% of') ? [event.message] : [],
    )

  expect(await toldIn()).toEqual([
    expect.stringMatching(/^85 % of the limit for 5 h is used; it begins anew at /),
  ])
  expect(await toldIn()).toEqual([])
})

test('beside answers, a run asks for the models and the workspace and nothing else', async (t) => {
  const { about, seen: theirs } = fixture<{ about: string; seen: string[] }>('background-requests')
  const host = await hostScene(t, oneAnswer())

  await runOnHost(host)

  const ours = [...host.service.beside].sort()
  const known = theirs.map((request) => request.replace(/ [^/]+/, ' '))
  for (const request of ours) expect(known).toContain(request)
  left.add({
    name: 'background-requests',
    about,
    theirs: { asked: theirs.map((request) => `\`${request}\``).join(', ') },
    ours: { asked: ours.map((request) => `\`${request}\``).join(', ') },
    why: {
      asked:
        'A run needs no plugins, settings, analytics or metrics, and tells nobody what it does.',
    },
  })
})

test('docs/conformance.md says what these checks have shown', () => {
  for (const table of [checks, left]) table.expectInDocs()
})
