import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { packageRoot } from '../../host/package-root.ts'
import { callsAnswer } from '../fakes/model-server.ts'
import { ConformanceTable } from './conformance-table.ts'
import { fieldsOf, REQUESTS_COMPARED } from './facts.ts'
import { requestLike } from './held-against.ts'
import { hostScene, runOnHost } from './host-scene.ts'
import { outline } from './outline.ts'
import type { SeenRequest } from './recorded-service.ts'
import { type Cleanup, play, recording, type SentRequest } from './replay.ts'

const table = new ConformanceTable('Request')

const TELLS_TOO_MUCH =
  'It tells the folder that is worked in, and names the installation; a run needs neither.'
const ONE_NAME =
  'It repeats the name of the conversation, which `session-id` and `thread-id` carry already.'
const OF_THEIR_PROGRAM =
  'It is the version of the official program, and codexbox is another. Only a listed model that is refused without it is asked again with the version that the list names.'
const NOT_ASKED_FOR =
  'An encoding gains nothing for an answer of small events. An answer that comes encoded all the same is decoded.'

const WHY: Record<string, string> = {
  'header version': OF_THEIR_PROGRAM,
  'header accept-encoding': NOT_ASKED_FOR,
  'header x-codex-routing-hint': 'It names the model, as the body does.',
  'header x-codex-window-id': ONE_NAME,
  'header x-client-request-id': ONE_NAME,
  'header x-codex-turn-metadata': TELLS_TOO_MUCH,
  'header content-encoding':
    'Only bodies of 64 KiB and more are sent as zstd, to ChatGPT alone, and where Node can (22.15). A shorter one arrives as soon without.',
  'body client_metadata': TELLS_TOO_MUCH,
  'body service_tier': 'codexbox has no setting for it.',
  'body text.format.name': 'Any name will do.',
  input:
    'The instructions are our own, in one message. What the surroundings are, the model finds out with its tools.',
}

describe('the first request', () => {
  const values = new Map<string, { what: string; theirs: string; ours: string; names: string[] }>()

  test.for(REQUESTS_COMPARED)('of %s', async (name, t) => {
    const recorded = recording(name)
    if (!recorded.sent) throw new Error(`${name} has no request to compare with`)
    const host = await hostScene(t, recorded)
    await runOnHost(host, requestLike(recorded))
    const [request] = host.service.requests
    if (!request) throw new Error('nothing was sent')

    const [theirs, ours] = [fieldsOf(recorded.sent), fieldsOf(asSent(request))]
    for (const what of new Set([...theirs.keys(), ...ours.keys()])) {
      const pair = { what, theirs: theirs.get(what) ?? 'none', ours: ours.get(what) ?? 'none' }
      const key = JSON.stringify(pair)
      const { names } = values.get(key) ?? { names: [] }
      values.set(key, { ...pair, names: [...names, name.replace(/-.*/, '')] })
    }
  })

  test('differs in nothing but what docs/conformance.md says', () => {
    for (const { what, theirs, ours, names } of values.values()) {
      const why = theirs === ours ? undefined : WHY[what]
      table.add({
        name: what,
        about: names.length === REQUESTS_COMPARED.length ? 'in all' : `in ${names.join(', ')}`,
        theirs: { value: theirs },
        ours: { value: ours },
        ...(why ? { why: { value: why } } : {}),
      })
    }
    const differing = [...values.values()].filter(({ theirs, ours }) => theirs !== ours)
    expect(Object.keys(WHY).sort()).toEqual([...new Set(differing.map(({ what }) => what))].sort())
    table.expectInDocs()
  })
})

/** Ours, in the form of a recorded one. */
function asSent({ headers, body: { input, ...body } }: SeenRequest): SentRequest {
  const compared = [
    'accept',
    'content-type',
    'x-codex-beta-features',
    'x-openai-internal-codex-responses-lite',
  ]
  const ofHttp = ['host', 'connection', 'content-length', 'transfer-encoding']
  const varies = ['tools', 'prompt_cache_key']
  return {
    headers: Object.fromEntries(
      Object.entries(headers)
        .filter(([name]) => !ofHttp.includes(name))
        .map(([name, value]) => [name, compared.includes(name) ? String(value) : '…']),
    ),
    body: Object.fromEntries(
      Object.entries(body).map(([name, value]) => [name, varies.includes(name) ? '…' : value]),
    ),
    layout: input.map(outline),
  }
}

/** What we send that the types of the public API do not know, and why. */
const BEYOND_THE_TYPES: {
  why: string
  of: (part: Part) => boolean
  allow: (part: Part) => Part
}[] = [
  {
    why: 'The official client gives each message an id, its own ones too.',
    of: ({ type, role, id }) => type === 'message' && role !== 'assistant' && id !== undefined,
    allow: ({ id: _, ...part }) => part,
  },
  {
    why: 'What the service made goes back as it was.',
    of: ({ type, status }) => type === 'custom_tool_call' && status !== undefined,
    allow: ({ status: _, ...part }) => part,
  },
  {
    why: 'The official client offers the search of the service in these words.',
    of: ({ type, external_web_access }) => type === 'web_search' && external_web_access === true,
    allow: ({ external_web_access: _, search_content_types: __, ...part }) => part,
  },
]

type Part = Record<string, unknown>

test('every body is one that the types of the public API allow', { timeout: 60_000 }, async (t) => {
  const met = new Set<string>()
  const allowing = (_key: string, value: unknown): unknown => {
    const isPart = typeof value === 'object' && value !== null && 'type' in value
    const beyond = isPart && BEYOND_THE_TYPES.find(({ of }) => of(value as Part))
    if (!beyond) return value
    met.add(beyond.why)
    return beyond.allow(value as Part)
  }
  const bodies = await bodiesOfRuns(t)

  const complaints = await typeErrors(
    t,
    bodies.map((body) => JSON.parse(JSON.stringify(body, allowing))),
  )

  expect(complaints).toEqual([])
  expect([...met].sort()).toEqual(BEYOND_THE_TYPES.map(({ why }) => why).sort())
})

test('a body with a field that the types do not know is found out', {
  timeout: 60_000,
}, async (t) => {
  const { server } = await play(t, recording('01-text-gpt-5.5').exchanges)
  const body = { ...server.requests[0]?.body, input: 'Hello.', made_up: true }

  expect(await typeErrors(t, [body])).toContainEqual(expect.stringContaining('made_up'))
})

/** Bodies with every kind of item that we send: messages, images, reasoning, calls, compaction. */
async function bodiesOfRuns(t: Cleanup): Promise<unknown[]> {
  const bodies: unknown[] = []
  const names = [
    '05-reasoning-roundtrip-gpt-5.5',
    '07-apply-patch-gpt-5.5',
    '06-reasoning-roundtrip-lite',
  ]
  for (const name of [...names, '91-output-schema-and-tier', '86-two-completed-text-and-tool']) {
    const recorded = recording(name)
    const images = ['data:image/png;base64,AAAA']
    const { server } = await play(t, recorded.exchanges, { ...requestLike(recorded), images })
    bodies.push(server.requests.at(-1)?.body)
  }
  const compacting = recording('80-auto-compact-gpt-5.5')
  const form = { webSearch: true, compactAtTokens: 20_000 }
  const { server } = await play(t, [...compacting.exchanges, callsAnswer()], { form })
  return [...bodies, ...server.requests.map(({ body }) => body)]
}

/** What the compiler says of `bodies` as parameters of a streamed response, without places. */
async function typeErrors({ onTestFinished }: Cleanup, bodies: unknown[]): Promise<string[]> {
  const folder = mkdtempSync(join(tmpdir(), 'codexbox-types-'))
  onTestFinished(async () => rmSync(folder, { recursive: true, force: true }))
  const types = join(packageRoot, 'node_modules/openai/resources/responses/responses.js')
  const file = join(folder, 'bodies.mts')
  writeFileSync(
    file,
    [
      `import type { ResponseCreateParamsStreaming } from ${JSON.stringify(types)}`,
      ...bodies.map(
        (body, index) =>
          `export const body${index} = ${JSON.stringify(body)} satisfies ResponseCreateParamsStreaming`,
      ),
    ].join('\n'),
  )
  const tsc = join(packageRoot, 'node_modules/.bin/tsc')
  const options = ['--noEmit', '--strict', '--skipLibCheck', '--types', '', '--ignoreConfig']
  const settings = ['--module', 'nodenext', '--target', 'es2023', '--pretty', 'false']
  const output = await promisify(execFile)(tsc, [...options, ...settings, file]).then(
    () => '',
    (error: { stdout: string }) => error.stdout,
  )
  return [...new Set(output.split('\n').filter((line) => line.includes('error TS')))].map((line) =>
    line.replace(/^.*?: error /, ''),
  )
}
