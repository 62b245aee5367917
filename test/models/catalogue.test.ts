import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { type CatalogueOptions, modelCatalogue } from '../../host/models/catalogue.ts'
import { gatedModels } from '../fakes/gated-models.ts'
import { type JsonReply, type JsonService, startJsonService } from '../fakes/json-service.ts'
import { wireModel } from './wire-model.ts'

const PATH = '/backend-api/codex/models'
const MINUTE = 60_000

let dataDir: string
let service: JsonService
let now: number

beforeEach(async () => {
  dataDir = mkdtempSync(join(tmpdir(), 'codexbox-models-'))
  service = await startJsonService()
  now = Date.now()
})

afterEach(async () => {
  await service.close()
  rmSync(dataDir, { recursive: true, force: true })
})

const catalogue = (about: Partial<CatalogueOptions> = {}) =>
  modelCatalogue({
    dataDir,
    codexBaseUrl: new URL('/backend-api/codex', service.url),
    owner: 'codex:account-1',
    headersFor: async () => ({
      authorization: 'Bearer canary-token',
      'chatgpt-account-id': 'account-1',
      originator: 'codexbox',
    }),
    now: () => now,
    ...about,
  })

const listing = (...slugs: string[]) => etagged(`"${slugs.join()}"`, ...slugs)

const etagged = (etag: string, ...slugs: string[]): JsonReply =>
  gatedModels(
    slugs.map((slug) => wireModel(slug)),
    { etag },
  )

const answer = (...replies: JsonReply[]) => {
  service.replies[PATH] = replies
}

const slugsOf = ({ models }: { models: readonly { slug: string }[] }) =>
  models.map(({ slug }) => slug)

test('the service is asked as the account, by who we are, for all its models', async () => {
  answer(listing('one', 'two'))

  const found = await catalogue().known()

  expect(found).toMatchObject({ source: 'live', checkedAt: now })
  expect(slugsOf(found)).toEqual(['one', 'two'])
  const [request] = service.requests
  expect(request?.path).toBe('/backend-api/codex/models?client_version=0.0.0')
  expect(request?.headers).toMatchObject({
    authorization: 'Bearer canary-token',
    'chatgpt-account-id': 'account-1',
    originator: 'codexbox',
  })
  expect(request?.headers).not.toHaveProperty('if-none-match')
})

describe('the stand-in answers a question for the models as the service is known to', () => {
  const ask = async (query: string) => {
    const answer = await fetch(new URL(`${PATH}${query}`, service.url))
    const { models } = (await answer.json()) as { models?: { slug: string }[] }
    return {
      status: answer.status,
      etag: answer.headers.get('etag'),
      slugs: models && slugs(models),
    }
  }
  const slugs = (models: { slug: string }[]) => models.map(({ slug }) => slug)

  beforeEach(() => {
    const wanted = { old: '0.98.0', usual: '0.144.0', new: '0.166.0' }
    const models = Object.entries(wanted).map(([slug, minimal_client_version]) =>
      wireModel(slug, { minimal_client_version }),
    )
    answer(gatedModels(models, { etag: '"all"' }))
  })

  test('without a client_version: 400', async () => {
    expect((await ask('')).status).toBe(400)
  })

  test.each([
    ['0.0.1', []],
    ['0.12.6', []],
    ['0.98.0', ['old']],
    ['0.133.0', ['old']],
    ['0.144.0-alpha.1', ['old', 'usual']],
    ['0.166.0', ['old', 'usual', 'new']],
  ])('client_version=%s: what asks for no newer one', async (version, expected) => {
    expect((await ask(`?client_version=${version}`)).slugs).toEqual(expected)
  })

  test('client_version=0.0.0: all that the newest client is shown, under the same etag', async () => {
    expect(await ask('?client_version=0.0.0')).toEqual(await ask('?client_version=999.0.0'))
    expect((await ask('?client_version=0.0.0')).slugs).toHaveLength(3)
  })

  test('so all models are listed to us, each with the version that it asks for', async () => {
    const { models } = await catalogue().known()

    expect(models.map((one) => [one.slug, one.minimalClientVersion])).toEqual([
      ['old', '0.98.0'],
      ['usual', '0.144.0'],
      ['new', '0.166.0'],
    ])
    expect((await catalogue().known()).models).toEqual(models)
  })
})

test('a fresh list is used without any request, by other processes too', async () => {
  answer(listing('one'))
  await catalogue().known()
  now += 5 * MINUTE - 1
  const notAsked = vi.fn(async () => ({})) // Whoever sends something asks for them at once.

  const found = await catalogue({ headersFor: notAsked }).known()

  expect(notAsked).not.toHaveBeenCalled()
  expect(found).toMatchObject({ source: 'cache', checkedAt: now - 5 * MINUTE + 1 })
  expect(slugsOf(found)).toEqual(['one'])
  expect(service.requests).toHaveLength(1)
})

test('a stale list is used at once, and renewed behind its back', async () => {
  answer(listing('old'), 'hang')
  const models = catalogue({ maxWaitMs: 60_000 })
  await models.known()
  now += 5 * MINUTE

  const stale = await models.known()

  expect(slugsOf(stale)).toEqual(['old'])
  await service.asked(PATH, 2)
  expect(service.requests[1]?.headers['if-none-match']).toBe('"old"')
})

test('what the renewal brings is there for the next start', async () => {
  answer(listing('old'), listing('new'))
  await catalogue().known()
  now += 5 * MINUTE
  const models = catalogue()
  await models.known()

  await models.ask() // Joins the request that is under way.

  expect(service.requests).toHaveLength(2)
  expect(slugsOf(await catalogue().known())).toEqual(['new'])
})

test('a list that has not changed is fresh again', async () => {
  answer(listing('one'), { status: 304 })
  await catalogue().known()
  now += 60 * MINUTE
  expect(await catalogue().ask()).toMatchObject({ source: 'live', checkedAt: now })

  const found = await catalogue().known()

  expect(slugsOf(found)).toEqual(['one'])
  expect(found).toMatchObject({ source: 'cache', checkedAt: now })
  expect(service.requests).toHaveLength(2)
})

test('another account never gets the list, nor does another server', async () => {
  answer(listing('one'), { status: 500, text: '' })
  await catalogue().known()

  const other = await catalogue({ owner: 'codex:account-2' }).known()
  const elsewhere = await catalogue({ codexBaseUrl: new URL('/elsewhere', service.url) }).known()

  expect(other.source).toBe('built-in')
  expect(elsewhere.source).toBe('built-in')
  expect(service.requests[1]?.headers).not.toHaveProperty('if-none-match')
})

test('the list is kept where only its owner can read it, without any credential', async () => {
  answer(listing('one'))

  await catalogue().known()

  expect(readdirSync(dataDir)).toEqual(['codex-models.json'])
  const path = join(dataDir, 'codex-models.json')
  if (process.platform !== 'win32') expect(statSync(path).mode & 0o777).toBe(0o600)
  expect(readFileSync(path, 'utf8')).not.toContain('canary')
  expect(statSync(path).size).toBeLessThan(1000)
})

const failures: [string, JsonReply][] = [
  ['an error', { status: 500, json: { error: 'x' } }],
  ['a refusal', { status: 401, json: { detail: 'Unauthorized' } }],
  ['a page', { text: '<html>Just a moment…</html>' }],
  ['a redirect', { status: 302, headers: { location: '/elsewhere' }, text: '' }],
  ['a list of nothing', { json: { models: [] } }],
  ['only broken models', { json: { models: [{ slug: 7 }] } }],
  ['not modified, which was not asked', { status: 304 }],
  ['torn JSON', { text: '{"models":[{"slug":"torn"' }],
  ['a prototype', { text: '{"__proto__":{"models":[{"slug":"m"}]}}' }],
  ['a closed connection', 'cut'],
  ['a flood', { text: `{"models":[{"slug":"m","x":"${'x'.repeat(9 * 1024 * 1024)}"}]}` }],
  ['an answer without an end', 'stall'],
  ['no answer', 'hang'],
]

test.each(failures)(
  'after %s the list of any age is used, else the built-in one',
  async (_what, reply) => {
    answer(reply)
    const options = { timeoutMs: reply === 'hang' || reply === 'stall' ? 200 : 5000 }
    const first = await catalogue(options).known()
    answer(listing('kept'))
    await catalogue().ask()
    now += 365 * 24 * 60 * MINUTE
    answer(reply === failures[6]?.[1] ? { status: 500, text: '' } : reply)

    const later = await catalogue(options).ask()

    expect(first.source).toBe('built-in')
    expect(slugsOf(first)).toContain('gpt-6.2-sol')
    expect(first.problem).toMatch(/^Asked /)
    expect(later).toMatchObject({ source: 'cache', problem: expect.any(String) })
    expect(slugsOf(later)).toEqual(['kept'])
    expect(first.problem).not.toContain('canary')
  },
)

test('a start with nothing kept does not wait for a service that keeps still', async () => {
  answer('hang')

  const found = await catalogue({ maxWaitMs: 50, timeoutMs: 60_000 }).known()

  expect(found.source).toBe('built-in')
})

test('whoever leaves takes the request along', async () => {
  answer('hang')
  const leaving = new AbortController()
  const asked = catalogue({ signal: leaving.signal, timeoutMs: 60_000 }).ask()
  await service.asked(PATH, 1)

  leaving.abort()

  expect((await asked).source).toBe('built-in')
})

test.each([
  '',
  '{',
  'null',
  '{"version":1}',
  '[]',
  '{"version":1,"owner":"codex:account-1","value":{}}',
])('a kept list that is %j is as good as none', async (text) => {
  writeFileSync(join(dataDir, 'codex-models.json'), text)
  answer(listing('one'))

  expect(slugsOf(await catalogue().known())).toEqual(['one'])
  now += 1
  expect((await catalogue().known()).source).toBe('cache')
})

test('a clock that was set back does not keep a list for ever', async () => {
  answer(listing('one'), listing('two'))
  await catalogue().known()
  now -= 24 * 60 * MINUTE
  const models = catalogue()

  await models.known()

  await service.asked(PATH, 2)
  await models.ask() // Joins it, so that nothing is kept after the test.
})

test('a data folder that cannot be written to costs the keeping only', async () => {
  answer(listing('one'))
  const file = join(dataDir, 'file')
  writeFileSync(file, '')

  expect(slugsOf(await catalogue({ dataDir: join(file, 'below') }).known())).toEqual(['one'])
})

test('an etag that could not be sent back is not kept', async () => {
  answer(etagged('no quotes', 'one'))
  await catalogue().known()

  await catalogue().ask()

  expect(service.requests[1]?.headers).not.toHaveProperty('if-none-match')
})
