import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import { packageRoot } from '../../host/package-root.ts'
import { type Facts, sentence } from './facts.ts'

export interface Case {
  name: string
  about: string
  /** What the official client did, as it was recorded. */
  theirs: Facts
  /** What ours did in this very run. */
  ours: Facts
  /** For each fact that differs, why; for no other. */
  why?: Facts
  /** What is worth saying of ours beside the facts that are compared. */
  note?: string
}

/** The tables of docs/conformance.md, in their order. Each is filled by one test file. */
const GROUPS = {
  Request:
    'The first request of six recordings, field by field; `in 01, 02` are their numbers. `…` stands for what is not ' +
    'compared: it is new each time, or belongs to the program that asks, like its name and its tools. There, ' +
    '*the same* says no more than that both send the field.',
  Runs:
    'Whole runs, and conversations of several. Newer models are asked in a lite form: the tools stand in the input, ' +
    'and a header says so.',
  Tools:
    'Calls of tools. Where a recording calls the shell tool of the official client, the model of the test calls ours.',
  'Errors and retries':
    'What comes back from a service that does not answer as it should. The matrix of single errors, ' +
    'and what a person is told of each, is a table of its own: [errors](errors.md).',
  Credentials:
    'Tokens that end, are refused or cannot be renewed. An account check is `GET /backend-api/wham/accounts/check`, ' +
    'which says where the requests of a workspace have to go.',
  Compaction: 'Conversations that become too long.',
  'Small checks': 'Single questions, each with a setup of its own.',
  'Not done on purpose': 'What the official client does and codexbox does not.',
} as const
export type Group = keyof typeof GROUPS

/** Collects the cases of one group and holds its table against the one in docs/conformance.md. */
export class ConformanceTable {
  readonly #group: Group
  readonly #cases: Case[] = []

  constructor(group: Group) {
    this.#group = group
  }

  /** Fails for a difference without a reason, and for a reason without a difference. */
  add(found: Case): void {
    const { name, theirs, ours, why = {} } = found
    const facts = [...new Set([...Object.keys(theirs), ...Object.keys(ours)])]
    const differ = facts.filter((fact) => theirs[fact] !== ours[fact])
    const seen = differ.map((fact) => `${fact}: ${theirs[fact]} | ${ours[fact]}`)
    expect(Object.keys(why).sort(), `${name}, differences: ${seen}; ${found.note}`).toEqual(
      differ.sort(),
    )
    this.#cases.push(found)
  }

  /** To be called by the last test of a file. `UPDATE_DOCS=1` writes the table, and the page's head, instead. */
  expectInDocs(): void {
    const section = render(this.#group, this.#cases)
    if (process.env.UPDATE_DOCS) writeSection(this.#group, section)
    expect(sections().get(this.#group), `stale; run ${UPDATE}`).toBe(section)
    expect(headInDocs(), `stale; run ${UPDATE}`).toBe(head())
  }
}

const FILE = join(packageRoot, 'docs', 'conformance.md')
const UPDATE = 'UPDATE_DOCS=1 npx vitest run test/conformance --no-file-parallelism'

const head = () => `# Conformance

How codexbox speaks to the service, compared with the official client case by case. A case is a recording of
${recordedClient()}: what a stand-in of the service answered, and what the client did. The tests give the same answers to
codexbox, compare, and write this page from what they saw. They fail when the page is stale, when a difference has no
reason, and when a recording has no row.

The stand-in is no evidence of what the real service sends: what is shown is how the two clients behave.

A row tells how many requests were made, how long the client waited before it repeated one, which items the last request
had beside those of the first (*sends back*; after a compaction, all that it had but the instructions), and how the run
ended. *The same* means that all of this is equal.

To write the page anew: \`${UPDATE}\`.
To see whether the newest official client still does what was recorded: \`npm run drift\`. It takes the client from
npm, gives it every recording on this machine, and prints what differs.`

/** The client that all recordings are of. */
function recordedClient(): string {
  const file = join(packageRoot, 'test/fixtures/recordings/01-text-gpt-5.5.json')
  return JSON.parse(readFileSync(file, 'utf8')).client.version
}

/** The names of all cases, of all groups. */
export function casesInDocs(): string[] {
  return [...sections().values()].flatMap((section) =>
    [...section.matchAll(/^\| `([^`]+)`/gm)].map(([, name]) => name ?? ''),
  )
}

function render(group: Group, cases: readonly Case[]): string {
  const rows = cases
    .toSorted((one, other) => one.name.localeCompare(other.name, 'en', { numeric: true }))
    .map(({ name, about, theirs, ours, why = {}, note }) => {
      const isSame = Object.keys(why).length === 0
      const own = [isSame ? 'the same' : sentence(ours), ...(note ? [note] : [])].join('; ')
      const reasons = [...new Set(Object.values(why))].join(' ')
      return `| ${[`\`${name}\``, about, sentence(theirs), own, reasons].map(cell).join(' | ')} |`
    })
  const head = ['case', 'what happens', 'official client', 'codexbox', 'why it differs']
  return [
    GROUPS[group],
    '',
    `| ${head.join(' | ')} |`,
    `|${head.map(() => '---').join('|')}|`,
    ...rows,
  ].join('\n')
}

const cell = (text: string) => text.replaceAll('|', '\\|').replaceAll('\n', ' ')

const page = () => (existsSync(FILE) ? readFileSync(FILE, 'utf8') : '')

/** What stands above the first table. */
const headInDocs = () => page().split(/^## /m)[0]?.trim()

function sections(): Map<string, string> {
  return new Map(
    page()
      .split(/^## /m)
      .slice(1)
      .map((part) => [part.slice(0, part.indexOf('\n')), part.slice(part.indexOf('\n')).trim()]),
  )
}

function writeSection(group: Group, section: string): void {
  const all = sections().set(group, section)
  const known = Object.keys(GROUPS).filter((name) => all.has(name))
  const parts = known.map((name) => `## ${name}\n\n${all.get(name)}`)
  writeFileSync(FILE, `${[head(), ...parts].join('\n\n')}\n`)
}
