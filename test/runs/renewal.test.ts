import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { fileTokenStore } from '../../host/auth/token-store.ts'
import type { Tokens } from '../../host/auth/tokens.ts'
import type { CredentialsMode } from '../../host/config.ts'
import { openConversation } from '../../host/open-conversation.ts'
import type { Conversation } from '../../host/runs/conversation.ts'
import type { Run } from '../../host/runs/run.ts'
import type { FinishedEvent, RunEvent } from '../../shared/protocol.ts'
import { type FakeIssuer, refusal, startFakeIssuer } from '../fakes/issuer.ts'
import { callsAnswer, type Exchange, textAnswer } from '../fakes/model-server.ts'
import { someTokens } from '../fakes/some-tokens.ts'
import { startTokenService, type TokenService } from '../fakes/token-service.ts'

const MINUTE = 60_000

let folder: string
let workspace: string
let dataDir: string
let issuer: FakeIssuer
let service: TokenService
let opened: Conversation[]
let seen: RunEvent[]

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'codexbox-renewal-'))
  workspace = join(folder, 'work')
  dataDir = join(folder, 'data')
  mkdirSync(workspace)
  issuer = await startFakeIssuer()
  service = await startTokenService()
  opened = []
  seen = []
})

afterEach(async () => {
  await Promise.all(opened.map((conversation) => conversation.close()))
  await issuer.close()
  await service.close()

  // Whatever a test was about: no token is anywhere but in the one file.
  const everything = inspect([seen, ...filesIn(folder)], { depth: 20, maxStringLength: null })
  rmSync(folder, { recursive: true, force: true })
  for (const secret of issuer.secrets) expect(everything).not.toContain(secret)
})

/** The content of every file but that of the tokens. */
function filesIn(path: string): string[] {
  if (path.endsWith('codex-tokens.json')) return []
  if (statSync(path).isDirectory())
    return readdirSync(path).flatMap((name) => filesIn(join(path, name)))
  return [readFileSync(path, 'utf8')]
}

/** A sign-in that the issuer knows, with `leftMs` of its access token left. */
async function signIn(leftMs = 60 * MINUTE): Promise<Tokens> {
  const tokens = someTokens({ ...issuer.grant(), expires_at: Date.now() + leftMs })
  await fileTokenStore(dataDir).replace(tokens)
  return tokens
}

const stored = () => fileTokenStore(dataDir).peek()

async function open(credentials: CredentialsMode, session = 'one'): Promise<Conversation> {
  const conversation = await openConversation({
    workspace,
    session,
    settings: {
      provider: 'codex',
      engine: 'process',
      credentials,
      dataDir,
      codexBaseUrl: service.baseUrl,
      authIssuer: issuer.url,
    },
  })
  opened.push(conversation)
  return conversation
}

async function eventsOf(run: Run): Promise<RunEvent[]> {
  const events: RunEvent[] = []
  for await (const event of run) events.push(event)
  seen.push(...events)
  return events
}
const endOf = (events: RunEvent[]) => events.at(-1) as FinishedEvent
const asksOf = (events: RunEvent[]) => events.filter(({ type }) => type === 'secrets.needed').length

/** A tool that leaves a mark each time it is run, and shows what it could get hold of. */
const MARK = callsAnswer(['bash', { command: 'echo run >> marks; env; cat /proc/$PPID/environ' }])
const marks = () => readFileSync(join(workspace, 'marks'), 'utf8')

/** The answer after which the service does not accept the token any more. */
const andRefuse = (exchange: Exchange, { access_token }: Tokens): [Exchange, () => void] => [
  exchange,
  () => service.refused.add(access_token),
]

describe.each<CredentialsMode>(['direct', 'sealed'])('%s', (mode) => {
  test('a token that is refused in the middle of a run is renewed once, and no tool runs twice', async () => {
    const old = await signIn()
    service.play(...andRefuse(MARK, old))
    service.play(textAnswer('Done.'))
    const conversation = await open(mode)

    const events = await eventsOf(conversation.run('Mark it.'))

    expect(endOf(events)).toMatchObject({ status: 'done', toolCalls: 1 })
    expect(marks()).toBe('run\n')
    const renewed = stored()?.access_token
    expect(service.tokens).toEqual([old.access_token, old.access_token, renewed])
    expect(issuer.counts.refresh).toBe(1)
    expect(asksOf(events)).toBe(mode === 'direct' ? 1 : 0)
  })

  test('the next run has the new token from its start', async () => {
    const old = await signIn()
    service.play(...andRefuse(textAnswer('First.'), old))
    service.play(textAnswer('Second.'), textAnswer('Third.'))
    const conversation = await open(mode)
    await eventsOf(conversation.run('One.'))
    await eventsOf(conversation.run('Two.'))
    const before = service.tokens.length

    const events = await eventsOf(conversation.run('Three.'))

    expect(endOf(events).status).toBe('done')
    expect(service.tokens.slice(before)).toEqual([stored()?.access_token])
    expect(issuer.counts.refresh).toBe(1)
  })

  test('a token that is about to end is renewed before the service has seen it', async () => {
    const old = await signIn(4 * MINUTE)
    service.play(textAnswer('Done.'))
    const conversation = await open(mode)

    const events = await eventsOf(conversation.run('Hello.'))

    expect(endOf(events).status).toBe('done')
    expect(service.tokens).not.toContain(old.access_token)
    expect(issuer.counts.refresh).toBe(1)
  })

  test.each([
    ['refresh_token_expired', 'has expired'],
    ['refresh_token_reused', 'Another program'],
    ['refresh_token_invalidated', 'was revoked'],
    ['something_new', 'no longer accepts'],
  ])('a run whose sign-in has ended (%s) says so and what to do', async (code, words) => {
    const old = await signIn()
    service.play(...andRefuse(MARK, old))
    issuer.refreshReplies = [refusal(code)]
    const conversation = await open(mode)

    const events = await eventsOf(conversation.run('Mark it.'))

    const { status, error } = endOf(events)
    expect(status).toBe('failed')
    expect(error).toMatchObject({ code: 'not-signed-in' })
    expect(error?.message).toContain(words)
    expect(error?.message).toContain('--step codex-auth')
    expect(marks()).toBe('run\n')
    expect(issuer.counts.refresh).toBe(1)
    expect(stored()?.refresh_token).toBe(old.refresh_token)
  })

  test('an issuer that is in trouble fails the run, and not the sign-in', async () => {
    const old = await signIn()
    service.refused.add(old.access_token)
    issuer.refreshReplies = Array(20).fill({ status: 503 })
    const conversation = await open(mode)

    const events = await eventsOf(conversation.run('Hello.'))

    expect(endOf(events)).toMatchObject({ status: 'failed' })
    expect(stored()?.dead).toBeUndefined()
    expect(stored()?.refresh_token).toBe(old.refresh_token)
    expect(issuer.counts.refresh).toBeLessThanOrEqual(2)
  })

  test('a service that refuses every token is not given one after the other', async () => {
    await signIn()
    service.refusesAll = true
    const conversation = await open(mode)

    const events = await eventsOf(conversation.run('Hello.'))

    expect(endOf(events)).toMatchObject({ status: 'failed' })
    expect(issuer.counts.refresh).toBe(1)
    expect(service.tokens.length).toBeLessThanOrEqual(4)
    expect(stored()?.dead).toBeUndefined()
  })

  test('two conversations whose token is refused renew it once', async () => {
    const old = await signIn()
    service.refused.add(old.access_token)
    service.play(textAnswer('A.'), textAnswer('B.'))
    const both = [await open(mode, 'a'), await open(mode, 'b')]

    const ends = await Promise.all(
      both.map(async (each) => endOf(await eventsOf(each.run('Hello.')))),
    )

    expect(ends.map(({ status }) => status)).toEqual(['done', 'done'])
    expect(issuer.counts.refresh).toBe(1)
    expect(issuer.reuses).toEqual([])
  })
})
