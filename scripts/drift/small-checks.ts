import { type Exchange, itemsAnswer, textAnswer } from '../../test/fakes/model-server.ts'
import type { OfficialClient } from './client.ts'
import { inParallel } from './in-parallel.ts'
import { isModelRequest, isUpgrade, type Observed, playRecording } from './play.ts'
import type { ClientRun, Credentials } from './recording.ts'
import { headerOf } from './service.ts'

/** Single checks; each outcome is a sentence. */
export interface SmallChecks {
  client: string
  checks: { name: string; set_up: string; seen: string }[]
}

/** Records the checks with this client. A check without a player keeps its recorded outcome. */
export async function playChecks(
  client: OfficialClient,
  recorded: SmallChecks,
  models: unknown,
): Promise<SmallChecks> {
  const play = (scenario: Scenario) =>
    playRecording(
      client,
      {
        client: { args: [['-m', 'gpt-5.5', 'Say hello.']], ...scenario.run },
        exchanges: scenario.exchanges ?? [textAnswer()],
        ...(scenario.credentials
          ? { credentials: { tokenRequests: 0, accountChecks: 0, ...scenario.credentials } }
          : {}),
      },
      models,
    )
  const checks = await inParallel(recorded.checks, async (check) => {
    const outcome = async () => (await PLAYERS[check.name]?.(play)) ?? check.seen
    const seen = await outcome()
    return { ...check, seen: seen === check.seen ? seen : await outcome() }
  })
  return { ...recorded, checks }
}

interface Scenario {
  run?: Partial<ClientRun>
  exchanges?: Exchange[]
  credentials?: Partial<Credentials>
}
type Play = (scenario: Scenario) => Promise<Observed>

const countRequests = ({ seen }: Observed, end: string) =>
  seen.filter(({ path }) => path.endsWith(end)).length
const turnOf = ({ runs }: Observed) =>
  runs.at(-1)?.exitCode === 0 ? 'turn succeeds' : 'turn fails'
const modelRequests = ({ seen }: Observed) => seen.filter(isModelRequest)

const call = (id: string): Exchange =>
  itemsAnswer([
    {
      type: 'function_call',
      id: `fc_${id}`,
      call_id: `call_${id}`,
      name: 'exec_command',
      status: 'completed',
      arguments: '{"cmd":"true"}',
    },
  ])
const withTurnState = (state: string, exchange: Exchange): Exchange => ({
  ...exchange,
  headers: { 'x-codex-turn-state': state },
})
const PLAYERS: Record<string, (play: Play) => Promise<string>> = {
  'refresh-margin': async (play) => {
    const outcomes: string[] = []
    for (const seconds of [290, 298, 303, 312]) {
      const played = await play({ credentials: { leftMs: seconds * 1000 } })
      outcomes.push(countRequests(played, '/oauth/token') > 0 ? 'refresh' : 'no refresh')
    }
    return outcomes.join(' / ')
  },
  'no-account-id': async (play) => {
    const played = await play({ credentials: { without: 'account_id' } })
    const isNamed = modelRequests(played).some((request) => headerOf(request, 'chatgpt-account-id'))
    return [
      countRequests(played, '/accounts/check') === 0
        ? 'accounts/check is not called'
        : 'it is called',
      isNamed ? 'an account is named' : 'no chatgpt-account-id header',
      turnOf(played),
    ].join('; ')
  },
  'no-last-refresh': async (play) => {
    const played = await play({ credentials: { without: 'last_refresh' } })
    const refreshes = countRequests(played, '/oauth/token')
    return `loads; ${turnOf(played)}; ${refreshes === 0 ? 'no refresh' : `${refreshes} refresh`}`
  },
  'turn-state': async (play) => {
    const exchanges = [
      withTurnState('A', call('1')),
      withTurnState('B', call('2')),
      withTurnState('C', textAnswer()),
    ]
    const states = modelRequests(await play({ exchanges })).map(
      (request) => headerOf(request, 'x-codex-turn-state') ?? 'nothing',
    )
    return `requests carry: ${states.join(', ')}`
  },
  'reasoning-without-encryption': async (play) => {
    const item = {
      type: 'reasoning',
      id: 'rs_1',
      summary: [],
      content: [{ type: 'reasoning_text', text: 'Hm.' }],
      encrypted_content: null,
    }
    const played = await play({
      exchanges: [itemsAnswer([item], { end_turn: false }), textAnswer()],
    })
    const { input = [] } = (modelRequests(played)[1]?.body ?? {}) as { input?: { type: string }[] }
    const sent = input.find(({ type }) => type === 'reasoning') as
      | Record<string, unknown>
      | undefined
    const isSame = Object.entries(item).every(
      ([key, value]) => JSON.stringify(sent?.[key]) === JSON.stringify(value),
    )
    return isSame ? 'resent unchanged, content and null included' : 'resent otherwise'
  },
  'error-event': async (play) => {
    const error = { type: 'usage_limit_reached', message: 'The usage limit has been reached' }
    const event = { type: 'error', error }
    const body = `event: error\ndata: ${JSON.stringify(event)}\n\n`
    const played = await play({ exchanges: Array.from({ length: 6 }, () => ({ body })) })
    return `${modelRequests(played).length} requests, ${turnOf(played)}`
  },
  'foreign-base-url': async (play) =>
    turnOf(
      await play({
        run: { config: OTHER_SERVER },
        credentials: { accountAnswers: [{ status: 404, json: { detail: 'Not Found' } }] },
      }),
    ),
  'websocket-401': async (play) => {
    const played = await play({ run: { websocket: { status: 401, body: {} } } })
    return (
      'reload, refresh and repeat as for HTTP, once per retry ' +
      `(${countRequests(played, '/oauth/token')} refreshes), then HTTP fallback ${fallbackOf(played)}`
    )
  },
  'websocket-403': async (play) => {
    const played = await play({ run: { websocket: { status: 403, body: {} } } })
    return `${upgradesOf(played)} upgrades, then HTTP fallback ${fallbackOf(played)}`
  },
  'websocket-429': async (play) => {
    const error = { type: 'usage_limit_reached', message: 'The usage limit has been reached' }
    const played = await play({ run: { websocket: { status: 429, body: { error } } } })
    const isFinal = modelRequests(played).length === 0 && turnOf(played) === 'turn fails'
    const end = isFinal ? 'then final error, no HTTP fallback' : `then ${turnOf(played)}`
    return `${upgradesOf(played)} upgrades (pre-warm and turn), ${end}`
  },
  'three-clients-one-home': async (play) => {
    const played = await play({
      run: { args: Array.from({ length: 3 }, () => ['-m', 'gpt-5.5', 'Say hello.']), atOnce: true },
      exchanges: Array.from({ length: 3 }, () => textAnswer()),
      credentials: { leftMs: 60_000, tokenDelayMs: 400 },
    })
    const refreshes = played.seen.filter(({ path }) => path.endsWith('/oauth/token'))
    const tokens = new Set(
      refreshes.map(({ body }) => (body as { refresh_token?: string }).refresh_token),
    )
    if (refreshes.length !== 3 || tokens.size !== 1) {
      return `${refreshes.length} refresh requests with ${tokens.size} refresh tokens`
    }
    // The time between them depends on the machine.
    return 'three refresh requests with the same refresh token within 3 ms; the last answer stays in auth.json'
  },
}

const OTHER_SERVER = `model_provider = "other"

[model_providers.other]
name = "other"
base_url = "{origin}/v1"
wire_api = "responses"
requires_openai_auth = true
`

const upgradesOf = ({ seen }: Observed) => seen.filter(isUpgrade).length
const fallbackOf = (played: Observed) => (turnOf(played) === 'turn succeeds' ? 'succeeds' : 'fails')
