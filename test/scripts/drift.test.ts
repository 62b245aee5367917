import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { packageRoot } from '../../host/package-root.ts'
import { compareAll } from '../../scripts/drift/compare-all.ts'
import { differences } from '../../scripts/drift/differences.ts'
import { docDifferences } from '../../scripts/drift/docs.ts'
import { FIXTURES, fixture, type Recording } from '../../scripts/drift/recording.ts'
import { comparable, SIGN_INS, type SignIn } from '../../scripts/drift/sign-ins.ts'

/** It is played by a client that does what the recording says, until that is changed. */
async function compare(
  name: string,
  change: (recording: Recording) => void = () => {},
  wanted = name,
) {
  const file = join(FIXTURES, `recordings/${name}.json`)
  const client = {
    version: 'codex-cli 0.0.0',
    command: process.execPath,
    prefix: [join(import.meta.dirname, '../fakes/official-client.mjs'), file],
  }
  const recorded = fixture<Recording>(`recordings/${name}.json`)
  change(recorded)
  const said: string[] = []
  const found = await compareAll(client, {
    recorded: [recorded],
    isWanted: (each) => each === wanted,
    update: false,
    say: (line) => said.push(line),
  })
  return { found, said: said.filter((line) => line.startsWith(`${wanted}:`)) }
}

const REQUEST = '92-no-compression-flag'
const RENEWAL = '20b-auth-401-twice-then-refresh'
const TOOL = '03-one-tool-gpt-5.5'

test.each([REQUEST, RENEWAL, TOOL])(
  'a client that does what was recorded has no difference (%s)',
  async (name) => {
    expect(await compare(name)).toEqual({ found: 0, said: [] })
  },
)

type Change = (recording: Recording) => void
const sent =
  (change: (sent: NonNullable<Recording['sent']>) => void): Change =>
  (recording) => {
    if (recording.sent) change(recording.sent)
  }
const refresh =
  (change: (refresh: Refresh) => void): Change =>
  ({ credentials }) => {
    if (credentials?.refresh) change(credentials.refresh as Refresh)
  }
interface Refresh {
  headers: Record<string, string>
  body: Record<string, unknown>
}

test.each<[string, string, Change, RegExp]>([
  [
    'a header has another value',
    REQUEST,
    sent(({ headers }) => {
      headers.accept = '*/*'
    }),
    /sent\.headers\.accept: "\*\/\*" → "text\/event-stream"/,
  ],
  [
    'a header is missing',
    REQUEST,
    sent(({ headers }) => {
      delete headers['thread-id']
    }),
    /sent\.headers\.thread-id: none → "…"/,
  ],
  [
    'a header is new',
    REQUEST,
    sent(({ headers }) => {
      headers['x-new'] = '1'
    }),
    /sent\.headers\.x-new: "1" → none/,
  ],
  [
    'headers change places',
    REQUEST,
    sent((one) => {
      one.headers = Object.fromEntries(Object.entries(one.headers).reverse())
    }),
    /sent\.headers \(order\)/,
  ],
  [
    'a field has another value',
    REQUEST,
    sent(({ body }) => {
      body.store = true
    }),
    /sent\.body\.store: true → false/,
  ],
  [
    'a field is missing',
    REQUEST,
    sent(({ body }) => {
      delete body.include
    }),
    /sent\.body\.include: none → /,
  ],
  [
    'an item of the input is new',
    REQUEST,
    sent(({ layout }) => {
      layout.push({ type: 'message' })
    }),
    /sent\.layout\[4\]: .* → none/,
  ],
  [
    'there is a request more',
    REQUEST,
    (one) => {
      one.requests += 1
    },
    /requests: 2 → 1/,
  ],
  [
    'the end is another',
    REQUEST,
    (one) => {
      one.outcome = 'failed'
    },
    /outcome: "failed" → "done"/,
  ],
  [
    'an event is another',
    REQUEST,
    (one) => {
      one.said[0] = 'thread.begun'
    },
    /said\[0\]: "thread.begun" → "thread.started"/,
  ],
  [
    'a renewal has another field',
    RENEWAL,
    refresh(({ body }) => {
      body.scope = 'openid'
    }),
    /credentials\.refresh\.body\.scope: "openid" → none/,
  ],
  [
    'a renewal has another header',
    RENEWAL,
    refresh(({ headers }) => {
      headers['content-type'] = 'text/plain'
    }),
    /refresh\.headers\.content-type: "text\/plain" → "application\/json"/,
  ],
  [
    'it is renewed more often',
    RENEWAL,
    ({ credentials }) => {
      if (credentials) credentials.tokenRequests = 2
    },
    /tokenRequests: 2 → 1/,
  ],
  [
    'the workspace is asked for more often',
    RENEWAL,
    ({ credentials }) => {
      if (credentials) credentials.accountChecks = 3
    },
    /accountChecks: 3 → 2/,
  ],
  [
    'what goes back is another item',
    TOOL,
    ({ exchanges }) => {
      const [item] = exchanges[1]?.echoed ?? []
      if (item) item.id = 'fc_other'
    },
    /exchanges\[1\]\.echoed\[0\]\.id: "fc_other" → /,
  ],
])('it is told when in the recording %s', async (_, name, change, line) => {
  const { found, said } = await compare(name, change)

  expect(found).toBe(1)
  expect(said).toEqual([expect.stringMatching(line)])
})

describe('docs/conformance.md', () => {
  const page = readFileSync(join(packageRoot, 'docs/conformance.md'), 'utf8')
  const seen = [
    fixture<Recording>('recordings/02-text-default-model.json'),
    fixture<Recording>('recordings/21-auth-401-always.json'),
    fixture<Recording>('recordings/44-cut-always.json'),
    fixture<Recording>('recordings/95-websocket-text.json'),
  ]
  const row = (name: string) =>
    page.split('\n').find((line) => line.startsWith(`| \`${name}\``)) ?? ''

  test('says of the official client what the recordings do', () => {
    expect(docDifferences(seen, page)).toEqual([])
  })

  test.each([
    ['44-cut-always', '| 6 requests', '| 16 requests'],
    ['21-auth-401-always', '6 token requests', '7 token requests'],
    ['95-websocket-text', '2 requests', '3 requests'],
    ['header accept-encoding', '`zstd,gzip`', '`gzip`'],
    ['body stream', '`true`', '`false`'],
  ])('is told to be untrue where it says another thing (%s)', (name, is, says) => {
    const changed = page.replace(row(name), (line) => line.replace(is, says))

    expect(changed).not.toBe(page)
    expect(docDifferences(seen, changed)).toHaveLength(1)
  })

  test('is told to lack a row', () => {
    expect(docDifferences(seen, page.replace(row('44-cut-always'), ''))).toEqual([
      expect.stringMatching(/44-cut-always: "no row" → "6 requests; /),
    ])
  })
})

describe('a sign-in', () => {
  const fields = Object.keys(SIGN_INS).flatMap((name) =>
    leavesOf(comparable(fixture<SignIn>(`sign-in/${name}.json`))).map((path) => ({ name, path })),
  )

  test('is compared with its requests, their headers and fields, the addresses and the end', () => {
    const places = fields.map(({ path }) => path.join('.'))
    for (const place of [
      'exitCode',
      'authorizeUrl.scope',
      'browser.0.status',
      'exchanges.0.path',
      'exchanges.0.headers.content-type',
      'exchanges.0.body.client_id',
      'exchanges.4.body.redirect_uri',
    ]) {
      expect(places, place).toContain(place)
    }
  })

  test('is told to differ when one of these is another', () => {
    for (const { name, path } of fields) {
      const then = comparable(fixture<SignIn>(`sign-in/${name}.json`))
      expect(differences(changedAt(then, path), then), `${name}: ${path}`).toHaveLength(1)
    }
  })
})

/** The ways to every value in `value` that is no object. */
function leavesOf(value: unknown, path: readonly string[] = []): string[][] {
  if (typeof value !== 'object' || value === null) return [[...path]]
  return Object.entries(value).flatMap(([name, inner]) => leavesOf(inner, [...path, name]))
}

function changedAt(value: unknown, [name, ...rest]: readonly string[]): unknown {
  if (name === undefined) return `not ${value}`
  const copy = structuredClone(value) as Record<string, unknown>
  copy[name] = changedAt(copy[name], rest)
  return copy
}

test('a name that no recording has is not green', async () => {
  await expect(compare(REQUEST, (recording) => (recording.name = 'another'))).rejects.toThrow(
    'there is no recording of that name',
  )
})

test('the requests beside those for answers are compared where they alone are wanted', async () => {
  const { said } = await compare('02-text-default-model', undefined, 'background-requests')

  // The client that stands for the official one asks less.
  expect(said).toContainEqual(expect.stringMatching(/^background-requests: headers\./))
})

test('without a network nothing is green', async () => {
  const tsx = join(packageRoot, 'node_modules/tsx/dist/cli.mjs')
  const env = {
    ...process.env,
    // Nothing listens there.
    npm_config_registry: 'http://127.0.0.1:9/',
    npm_config_fetch_retries: '0',
  }
  const script = join(packageRoot, 'scripts/drift.ts')
  const failed = await promisify(execFile)(process.execPath, [tsx, script], { env }).catch(
    (error: unknown) => error,
  )

  expect(failed).toMatchObject({ code: 2, stdout: '' })
  expect((failed as { stderr: string }).stderr).toMatch(
    /^Nothing was compared: the official client cannot be had from npm \(ECONNREFUSED\)\. Is there a network\?\n$/,
  )
})
