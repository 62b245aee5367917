import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  credentialFacts,
  fieldsOf,
  REQUESTS_COMPARED,
  sentence,
  theirFacts,
} from '../../test/conformance/facts.ts'
import type { Recording } from './recording.ts'

const FILE = join(import.meta.dirname, '../../docs/conformance.md')

/** Rows of docs/conformance.md, or of `page`, that contradict the observations of the official client. */
export function docDifferences(observed: readonly Recording[], page?: string): string[] {
  const rows = rowsOf(page ?? readFileSync(FILE, 'utf8'))
  const runs = observed.flatMap((recording) => {
    const documented = rows
      .filter(({ name }) => name === recording.name)
      .map(({ theirs }) => theirs)
    const facts = sentence(recording.credentials ? credentialsOf(recording) : theirFacts(recording))
    // A row may begin with a remark about WebSockets.
    return documented.some((theirs) => `; ${theirs}`.endsWith(`; ${facts}`))
      ? []
      : [difference(recording.name, documented, facts)]
  })
  const requests = observed
    .filter(({ name, sent }) => sent && REQUESTS_COMPARED.includes(name))
    .flatMap(({ name, sent }) =>
      sent ? requestDifferences(rows, name.replace(/-.*/, ''), sent) : [],
    )
  return [...runs, ...requests]
}

interface Row {
  name: string
  about: string
  theirs: string
}

function rowsOf(page: string): Row[] {
  return page.split('\n').flatMap((line) => {
    const [, name, about = '', theirs = ''] = line.split(/(?<!\\)\|/).map((cell) => cell.trim())
    if (!line.startsWith('| ') || !name || name === 'case') return []
    return [{ name: name.replaceAll('`', ''), about, theirs: theirs.replaceAll('\\|', '|') }]
  })
}

function credentialsOf({ requests, credentials, outcome }: Recording) {
  const { tokenRequests = 0, accountChecks = 0 } = credentials ?? {}
  return credentialFacts(requests, tokenRequests, accountChecks, outcome)
}

function requestDifferences(
  rows: readonly Row[],
  number: string,
  sent: NonNullable<Recording['sent']>,
): string[] {
  const fields = fieldsOf(sent)
  const ownRows = rows.filter(
    ({ about }) => about === 'in all' || about.split(/[ ,]+/).includes(number),
  )
  const documented = new Map(ownRows.map(({ name, theirs }) => [name, theirs]))
  const names = new Set([...fields.keys(), ...documented.keys()])
  return [...names].flatMap((name) => {
    const [theirs = 'none', now = 'none'] = [documented.get(name), fields.get(name)]
    return theirs === now ? [] : [difference(`${number}: ${name}`, [theirs], now)]
  })
}

const difference = (name: string, documented: readonly string[], now: string) =>
  `${name}: "${documented.join('" or "') || 'no row'}" → "${now}"`
