import { describe, expect, test } from 'vitest'
import { codexProvider } from '../../host/providers/codex.ts'
import { CodexboxError } from '../../shared/errors.ts'
import type { FinishedEvent } from '../../shared/protocol.ts'
import { ConformanceTable } from './conformance-table.ts'
import { credentialFacts, type Facts } from './facts.ts'
import { type HostScene, hostScene, runOnHost } from './host-scene.ts'
import { recording } from './replay.ts'

const table = new ConformanceTable('Credentials')

/** Where a run cannot even begin, the error takes the place of its end. */
async function outcomeOf(played: HostScene): Promise<Pick<FinishedEvent, 'status' | 'error'>> {
  try {
    return (await runOnHost(played)).at(-1) as FinishedEvent
  } catch (error) {
    if (!(error instanceof CodexboxError)) throw error
    return { status: 'failed', error: { code: error.code, message: error.message } }
  }
}

const RENEWED_AT_ONCE =
  'Only one program writes our tokens, so reading them again brings nothing new: a refused token is renewed at the first refusal, not at the second.'
const NEW_TOKEN = 'Each token gets one account check.'
const NO_LOOP = 'One new token is enough to see that tokens are not what is wrong.'

const NOT_SENT =
  'A token past its end is not sent, and a token endpoint in trouble is left alone for a while; the run says which of the two is in trouble.'
const SIGN_IN_FIRST = 'Without a sign-in nothing is sent; the run says how to sign in.'

describe('a recorded sign-in', () => {
  const cases: [name: string, why?: Facts][] = [
    ['20-auth-401-then-refresh', { tokens: RENEWED_AT_ONCE, workspace: NEW_TOKEN }],
    ['20b-auth-401-twice-then-refresh'],
    ['21-auth-401-always', { requests: NO_LOOP, tokens: NO_LOOP, workspace: NO_LOOP }],
    ['22a-refresh-refresh_token_expired', { requests: RENEWED_AT_ONCE }],
    ['22b-refresh-refresh_token_reused', { requests: RENEWED_AT_ONCE }],
    ['22c-refresh-refresh_token_invalidated', { requests: RENEWED_AT_ONCE }],
    ['22f-refresh-500'],
    ['23a-proactive-exp-past'],
    ['23b-proactive-exp-4min'],
    ['23c-proactive-exp-6min'],
    ['23d-proactive-last-refresh-9d'],
    ['23e-opaque-access-last-refresh-9d'],
    [
      '23f-proactive-refresh-fails-500',
      { requests: NOT_SENT, tokens: NOT_SENT, workspace: NOT_SENT, end: NOT_SENT },
    ],
    ['24a-disk-changed-same-account'],
    ['25-no-auth', { requests: SIGN_IN_FIRST }],
    ['93-routing-override'],
  ]

  test.for(cases)('%s', async ([name, why = {}], t) => {
    const recorded = recording(name)
    const played = await hostScene(t, recorded)

    const { status, error } = await outcomeOf(played)

    const { requests, outcome, credentials } = recorded
    const { service, issuer } = played
    table.add({
      name,
      about: recorded.about,
      theirs: credentialFacts(
        requests,
        credentials?.tokenRequests ?? 0,
        credentials?.accountChecks ?? 0,
        outcome,
      ),
      ours: credentialFacts(
        service.requests.length,
        issuer.counts.refresh,
        service.accountChecks,
        status,
      ),
      why,
      ...(error ? { note: `error \`${error.code}\`` } : {}),
    })
    expect(issuer.reuses).toEqual([])
  })
})

test('93-routing-override: the workspace says where its data is kept, and each request repeats it', async (t) => {
  const played = await hostScene(t, recording('93-routing-override'))

  await outcomeOf(played)

  const override = 'x-openai-account-routing-override'
  expect(played.recorded.sent?.headers[override]).toBe('us_cr')
  expect(played.service.requests.map(({ headers }) => headers[override])).toEqual(['us_cr'])
})

test('94d-accounts-check-fails: nothing is sent while it is not known where to', async (t) => {
  const recorded = recording('94d-accounts-check-fails')
  const { service, issuer, dataDir } = await hostScene(t, recorded)
  const { baseUrl } = service
  const provider = codexProvider({
    config: { dataDir, authIssuer: issuer.url, codexBaseUrl: baseUrl },
    serviceOrigin: baseUrl.origin,
  })

  const refused = await provider.connect().catch((error: unknown) => error)

  const { requests, outcome, credentials, name, about } = recorded
  expect(refused).toMatchObject({ name: 'CodexboxError', code: 'model-refused' })
  table.add({
    name,
    about,
    theirs: credentialFacts(requests, 0, credentials?.accountChecks ?? 0, outcome),
    ours: credentialFacts(
      service.requests.length,
      issuer.counts.refresh,
      service.accountChecks,
      'failed',
    ),
    why: { workspace: NOT_FOUND },
    note: 'error `model-refused`',
  })
})

const NOT_FOUND = 'A refusal is final; only after silence, 429 and 5xx is the check made again.'

test('docs/conformance.md says what these sign-ins have shown', () => {
  table.expectInDocs()
})
