import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { OfficialClient } from './client.ts'
import { differences } from './differences.ts'
import { docDifferences } from './docs.ts'
import { inParallel } from './in-parallel.ts'
import { type Matrix, playMatrix } from './matrix.ts'
import { bundledIn, compareModels } from './models.ts'
import { playRecording } from './play.ts'
import { fixture, type Recording, recordings, writeFixture } from './recording.ts'
import { backgroundOf, reduce } from './reduce.ts'
import { comparable, playSignIn, SIGN_INS, type SignIn } from './sign-ins.ts'
import { playChecks, type SmallChecks } from './small-checks.ts'

export interface CompareOptions {
  isWanted(name: string): boolean
  /** Overwrites the recordings with the new observations. */
  update: boolean
  say(line: string): void
  /** Default: the recordings in test/fixtures. */
  recorded?: readonly Recording[]
}

interface Background {
  about: string
  client: string
  seen: string[]
  /** By request. */
  headers: Record<string, Record<string, string>>
}

/**
 * Plays the wanted recordings to `client` and reports each difference. Resolves with their number.
 * @throws Error when no recording is wanted: zero differences would then prove nothing
 */
export async function compareAll(client: OfficialClient, options: CompareOptions): Promise<number> {
  const { isWanted, update, say, recorded = recordings() } = options
  let scenarios = 0
  let total = 0
  const report = (name: string, lines: readonly string[], played = 1) => {
    scenarios += played
    total += lines.length
    for (const line of lines) say(`${name}: ${line}`)
  }
  const { client: recordedClient } = recorded[0] ?? {}
  say(
    `${client.version}, held against recordings of ${recordedClient?.version ?? 'an unknown version'}`,
  )
  const beyondRuns = [BACKGROUND, ...signIns(), 'matrix-errors', 'small-checks', 'models']
  if (![...recorded.map(({ name }) => name), ...beyondRuns].some(isWanted)) {
    throw new Error('there is no recording of that name')
  }
  const models = await bundledModels(client)
  const { version } = client

  const played = await inParallel(
    recorded.filter(({ name }) => isWanted(name) || (hasBackground(name) && isWanted(BACKGROUND))),
    async (recording) => {
      const play = async () => {
        const observed = await playRecording(client, recording, models)
        const now = { ...reduce(recording, observed), client: { ...recording.client, version } }
        // The version itself is not compared.
        const then = { ...recording, client: now.client }
        return { recording, now, observed, lines: differences(then, now) }
      }
      const first = await play()
      // Many differences are timing; a real one occurs again.
      return first.lines.length > 0 ? play() : first
    },
  )
  for (const { recording, now, lines } of played) {
    report(recording.name, lines)
    if (update) writeFixture(`recordings/${recording.name}.json`, now)
  }
  report('docs/conformance.md', docDifferences(played.map(({ now }) => now)), 0)

  const observed = played.find(({ recording }) => hasBackground(recording.name))?.observed
  if (observed && isWanted(BACKGROUND)) {
    const then = fixture<Background>('recordings/background-requests.json')
    const headers = backgroundOf(observed.seen)
    const now = { ...then, client: version, seen: Object.keys(headers), headers }
    report(BACKGROUND, differences({ ...then, client: version }, now))
    if (update) writeFixture('recordings/background-requests.json', now)
  }

  for (const name of Object.keys(SIGN_INS).filter((each) => isWanted(signInName(each)))) {
    const then = fixture<SignIn>(`sign-in/${name}.json`)
    const now = await playSignIn(client, name, then)
    report(signInName(name), differences(comparable(then), comparable(now)))
    if (update)
      writeFixture(`sign-in/${name}.json`, { ...masked(now), client: version, date: today() })
  }

  if (isWanted('matrix-errors')) {
    const then = fixture<Matrix>('recordings/matrix-errors.json')
    const now = { ...(await playMatrix(client, then, models)), client: version }
    report('matrix-errors', differences({ ...then, client: version }, now))
    scenarios += Object.values(then).flatMap((rows) => (Array.isArray(rows) ? rows : [])).length - 1
    if (update) writeFixture('recordings/matrix-errors.json', now)
  }
  if (isWanted('small-checks')) {
    const then = fixture<SmallChecks>('recordings/small-checks.json')
    const now = { ...(await playChecks(client, then, models)), client: version }
    report('small-checks', differences({ ...then, client: version }, now))
    scenarios += then.checks.length - 1
    if (update) writeFixture('recordings/small-checks.json', now)
  }
  if (isWanted('models')) {
    const bundled = bundledIn(models, client.command)
    report('models', compareModels(bundled), 0)
    if (update) writeFixture('models.json', { client: version, ...bundled })
  }

  say(`${scenarios} scenarios played, ${total} differences.`)
  return total
}

const BACKGROUND = 'background-requests'
/** The recording whose background requests are compared. */
const hasBackground = (name: string) => name.startsWith('02-')

const signInName = (name: string) => `sign-in/${name}`
const signIns = () => Object.keys(SIGN_INS).map(signInName)

/** The client's built-in list, for the service's response. */
async function bundledModels({ command, prefix }: OfficialClient): Promise<unknown> {
  const { stdout } = await promisify(execFile)(
    command,
    [...prefix, 'debug', 'models', '--bundled'],
    { maxBuffer: 2 ** 28 },
  )
  return JSON.parse(stdout)
}

/** Without tokens: a fixture holds none, not even unsigned ones. */
function masked(signIn: SignIn): SignIn {
  const text = JSON.stringify(signIn).replace(/eyJ[\w-]+\.[\w-]+\.[\w-]+/g, '<FAKE_JWT id>')
  return JSON.parse(text)
}

const today = () => new Date().toISOString().slice(0, 10)
