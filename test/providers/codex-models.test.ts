import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { fileTokenStore } from '../../host/auth/token-store.ts'
import { codexProvider } from '../../host/providers/codex.ts'
import { openaiProvider } from '../../host/providers/openai.ts'
import { type FakeIssuer, startFakeIssuer } from '../fakes/issuer.ts'
import { type JsonReply, type JsonService, startJsonService } from '../fakes/json-service.ts'
import { someTokens } from '../fakes/some-tokens.ts'
import { wireModel } from '../models/wire-model.ts'

const MODELS = '/backend-api/codex/models'
const USAGE = '/backend-api/wham/usage'

let dataDir: string
let issuer: FakeIssuer
let service: JsonService

beforeEach(async () => {
  dataDir = join(mkdtempSync(join(tmpdir(), 'codexbox-codex-')), 'data')
  issuer = await startFakeIssuer()
  service = await startJsonService()
  await fileTokenStore(dataDir).replace(someTokens(issuer.grant()))
})

afterEach(async () => {
  await service.close()
  await issuer.close()
  rmSync(join(dataDir, '..'), { recursive: true, force: true })
})

const provider = () =>
  codexProvider({
    config: {
      dataDir,
      authIssuer: issuer.url,
      codexBaseUrl: new URL('/backend-api/codex', service.url),
    },
  })

const usage: JsonReply = {
  json: { plan_type: 'plus', rate_limit: { primary_window: { used_percent: 5 } } },
}

test('a connection asks the model by what the service says of it', async () => {
  const model = wireModel('gpt-9', { default_reasoning_level: 'high', use_responses_lite: true })
  service.replies[MODELS] = [{ json: { models: [model] } }]

  const connection = await provider().connect()
  const settings = await connection.settingsFor({ verbosity: 'high' })
  await connection.close()

  expect(settings).toMatchObject({
    model: 'gpt-9',
    form: { lite: true, compaction: 'trigger' },
    reasoning: { effort: 'high' },
    verbosity: 'high',
    notices: [],
  })
})

test('a run whose list of models is the built-in one is told so, with its age and why', async () => {
  service.replies[MODELS] = [{ status: 503, text: '' }]
  const connection = await provider().connect()

  const { model, notices } = await connection.settingsFor({})
  await connection.close()

  expect(model).toBe('gpt-6.2-sol')
  expect(notices).toEqual([
    expect.stringMatching(
      /^The service's list .* built-in one is used: that of Codex CLI 0\.171\.0, of 2026-11-30\. Asked .*status 503/,
    ),
  ])
})

test('a run whose list is the one that was kept is told nothing', async () => {
  service.replies[MODELS] = [{ json: { models: [wireModel('kept')] } }, { status: 503, text: '' }]
  await provider().models()
  const connection = await provider().connect()

  const { model, notices } = await connection.settingsFor({})
  await connection.close()

  expect({ model, notices }).toEqual({ model: 'kept', notices: [] })
})

test('closing a connection leaves no request behind', async () => {
  service.replies[MODELS] = ['hang']
  const connection = await provider().connect()
  await service.asked(MODELS, 1)

  await connection.close()

  // Without the end of the request this would take two seconds, and the request three more.
  const before = performance.now()
  expect((await connection.settingsFor({})).model).toBe('gpt-6.2-sol')
  expect(performance.now() - before).toBeLessThan(1500)
})

test('what a run was told of limits is known when the service cannot be asked', async () => {
  service.replies[USAGE] = [{ status: 500, text: '' }]
  const connection = await provider().connect()
  const limits = { plan: 'plus', limits: [{ id: 'codex', primary: { usedPercent: 42 } }] }

  await connection.sawLimits(limits).persisted
  await connection.close()

  expect(await provider().limits()).toMatchObject({
    limits,
    problem: expect.stringContaining('status 500'),
  })
})

test('what was told of a limit is told by no later connection, nor after the plan was asked for', async () => {
  const limits = { plan: 'plus', limits: [{ id: 'codex', primary: { usedPercent: 85 } }] }
  service.replies[USAGE] = [usage]
  const say = async () => {
    const connection = await provider().connect()
    const { notices, persisted } = connection.sawLimits(limits)
    await persisted
    await connection.close()
    return notices
  }

  expect(await say()).toEqual(['85 % of the limit is used.'])
  expect(await say()).toEqual([])
  await provider().limits()
  expect(await say()).toEqual([])
})

test('what one of two runs has told of a limit, the other does not tell, however long they last', async () => {
  const used = (usedPercent: number) => ({ limits: [{ id: 'codex', primary: { usedPercent } }] })
  const [one, other] = [await provider().connect(), await provider().connect()]
  const say = async (connection: typeof one, percent: number) => {
    const { notices, persisted } = connection.sawLimits(used(percent))
    await persisted
    return notices
  }

  expect(await say(one, 10)).toEqual([])
  expect(await say(other, 10)).toEqual([])
  expect(await say(one, 81)).toHaveLength(1)
  expect(await say(other, 82)).toEqual([])
  expect(await say(other, 96)).toHaveLength(1)
  expect(await say(one, 97)).toEqual([])
  await one.close()
  await other.close()
})

test('a window whose end is not known is told of anew once its use has fallen', async () => {
  const connection = await provider().connect()
  const say = async (usedPercent: number) => {
    const limits = { limits: [{ id: 'codex', primary: { usedPercent } }] }
    const { notices, persisted } = connection.sawLimits(limits)
    await persisted
    return notices
  }

  expect(await say(96)).toEqual(['96 % of the limit is used.'])
  expect(await say(3)).toEqual([])
  expect(await say(82)).toEqual(['82 % of the limit is used.'])
  expect(await say(83)).toEqual([])
  await connection.close()
})

test('a token that is refused is renewed for the question what is left of the plan', async () => {
  service.replies[USAGE] = [{ status: 401, json: { detail: 'Unauthorized' } }, usage]

  const { limits } = await provider().limits()

  expect(limits.plan).toBe('plus')
  expect(issuer.counts.refresh).toBe(1)
  const [first, second] = service.requests.map(({ headers }) => headers.authorization)
  expect(second).not.toBe(first)
})

test('a token that is refused is renewed for the question for the models as well', async () => {
  const refused: JsonReply = { status: 401, json: { detail: 'Unauthorized' } }
  service.replies[MODELS] = [refused, { json: { models: [wireModel('gpt-9')] } }]

  const { source, models } = await provider().models()

  expect({ source, slugs: models.map(({ slug }) => slug) }).toEqual({
    source: 'live',
    slugs: ['gpt-9'],
  })
  expect(issuer.counts.refresh).toBe(1)
  const [first, second] = service.requests.map(({ headers }) => headers.authorization)
  expect(second).not.toBe(first)
})

test('refused twice, it is not asked a third time', async () => {
  service.replies[USAGE] = [{ status: 401, json: {} }]

  await expect(provider().limits()).rejects.toMatchObject({ code: 'model-refused' })

  expect(service.requests).toHaveLength(2)
})

test('without a sign-in there is neither a list nor a plan', async () => {
  await fileTokenStore(dataDir).remove()

  await expect(provider().models()).rejects.toMatchObject({ code: 'not-signed-in' })
  await expect(provider().limits()).rejects.toMatchObject({ code: 'not-signed-in' })
  expect(service.requests).toEqual([])
})

test('with a key, a known model has its form and an unknown one the plainest', async () => {
  const connection = await openaiProvider({
    openaiApiKey: 'key',
    openaiBaseUrl: service.url,
  }).connect?.()

  expect(await connection?.settingsFor({ model: 'gpt-6.2-sol' })).toMatchObject({
    form: { lite: false, applyPatch: true, compaction: 'summary' },
    notices: [],
  })
  expect(await connection?.settingsFor({ model: 'llama' })).toMatchObject({
    model: 'llama',
    form: { lite: false, applyPatch: false },
    notices: [expect.stringContaining('llama')],
  })
  expect(service.requests).toEqual([])
})
