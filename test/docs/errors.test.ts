import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import {
  type Condition,
  type FailureRow,
  failureGroups,
  type Remedy,
  type Where,
} from '../../container/agent/failure-table.ts'
import { failureOf } from '../../container/agent/model-failure.ts'
import { MAX_ELAPSED_MS, MAX_RETRIES, MAX_WAIT_MS } from '../../container/agent/retry-policy.ts'
import { packageRoot } from '../../host/package-root.ts'
import { examples, factsOf, NOW } from '../container/failure-examples.ts'

const FILE = join(packageRoot, 'docs', 'errors.md')
const MARKS = /(?<=<!-- table -->\n)[\s\S]*(?=<!-- end -->)/

test('docs/errors.md has the table of errors as it is', () => {
  const text = readFileSync(FILE, 'utf8')
  const table = failureGroups.map(section).join('')
  if (process.env.UPDATE_DOCS)
    writeFileSync(
      FILE,
      text.replace(MARKS, () => table),
    )

  expect(MARKS.exec(readFileSync(FILE, 'utf8'))?.[0], 'stale; run it with UPDATE_DOCS=1').toBe(
    table,
  )
})

test('docs/errors.md has the bounds of retries as they are', () => {
  const text = readFileSync(FILE, 'utf8')

  expect(text).toContain(`up to ${MAX_RETRIES} times in a row`)
  expect(text).toContain(`wait of more than ${MAX_WAIT_MS / 60_000} minutes`)
  expect(text).toContain(`goes on for ${MAX_ELAPSED_MS / 60_000} minutes`)
})

function section({ title, rows }: (typeof failureGroups)[number]): string {
  const head = ['', 'when', 'code', 'what you read', 'then', 'why not as the official client']
  const lines = rows.map((row) => {
    const { name, code, remedy, why = '' } = row
    const cells = [name, conditionOf(row), quoted(code), sentenceOf(name), DONE[remedy], why]
    return `| ${cells.map((text) => text.replaceAll('|', '\\|')).join(' | ')} |`
  })
  const table = [`| ${head.join(' | ')} |`, '|---|---|---|---|---|---|', ...lines]
  return `\n## ${title}\n\n${table.join('\n')}\n`
}

const DONE: Record<Remedy, string> = {
  'give-up': 'ends',
  retry: 'is repeated',
  'ask-for-secrets': 'the host is asked for a new token, once',
  'drop-reasoning': 'is repeated without the reasoning, once',
  'drop-images': 'is repeated without the images, once; not where the prompt came with them',
  compact: 'the conversation is compacted, once',
  'name-client-version': 'is repeated with the version that the list names, once',
}

/** As of the first example; a person reads exactly this. */
function sentenceOf(name: string): string {
  const [example] = examples[name] ?? []
  return example ? failureOf(factsOf(example), NOW).message : ''
}

const PLACES: Record<Where, string> = {
  http: 'a refused request',
  failed: 'a failed answer',
  incomplete: 'an incomplete answer',
  connecting: 'no answer',
  reading: 'an answer that broke off',
}

function conditionOf({ where, when }: FailureRow): string {
  const { status, named, text, param, header, plan, isPage, hasWait, hasLimitName } = when
  const parts: Record<keyof Condition, string | undefined> = {
    status: status?.join(', '),
    named: named && `named ${named.map(quoted).join(', ')}`,
    text: text && `says ${quoted(text.source)}`,
    param: param && `of the parameter ${quoted(param.source)}`,
    header: header && `header ${quoted(`${header[0]}: ${header[1].source}`)}`,
    plan: plan && `plan ${quoted(plan.source)}`,
    isPage: isPage && 'a web page',
    hasWait: hasWait && 'with the time to wait',
    hasLimitName: hasLimitName && 'of a limit with a name',
  }
  const conditions = Object.values(parts).filter(Boolean).join('; ') || 'anything else'
  return `${where.map((place) => PLACES[place]).join(' or ')}: ${conditions}`
}

const quoted = (text: string) => (text.includes('`') ? `\`\` ${text} \`\`` : `\`${text}\``)
