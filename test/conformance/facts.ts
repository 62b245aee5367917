import type { Outline } from './outline.ts'
import type { RecordedExchange, Recording, SentRequest } from './replay.ts'

/** What can be said of a case, by what it is about: `{ requests: '2 requests', end: 'done' }`. */
export type Facts = Record<string, string>

/** `3 requests`, as a fact. */
export const counted = (count: number, what: string) => `${count} ${what}${count === 1 ? '' : 's'}`

/** Facts as they stand in a cell of docs/conformance.md. */
export const sentence = (facts: Facts) => Object.values(facts).filter(Boolean).join('; ')

/** What the official client did in a run. */
export function theirFacts({ requests, outcome, waits, exchanges }: Recording): Facts {
  const last = exchanges.findLast(({ echoed, conversation }) => echoed ?? conversation)
  return factsOf(requests, outcome, waits, last ? recordedOutline(last) : [])
}

export function factsOf(
  requests: number,
  end: string,
  waits: string | undefined,
  back: readonly { type: string }[],
): Facts {
  return {
    requests: counted(requests, 'request'),
    waits: waits ? (WAITS[waits] ?? waits) : '',
    'sent back': back.length > 0 ? `sends back ${listed(back)}` : '',
    end,
  }
}

const WAITS: Record<string, string> = {
  growing: 'waits 0.2 s, then twice as long each time',
  'as asked': 'waits as long as the service asks',
}

/** `message, 2 function_call`: neighbours of one type are counted. */
function listed(items: readonly { type: string }[]): string {
  const groups: { type: string; count: number }[] = []
  for (const { type } of items) {
    const last = groups.at(-1)
    if (last?.type === type) last.count++
    else groups.push({ type, count: 1 })
  }
  return groups.map(({ type, count }) => (count > 1 ? `${count} ${type}` : type)).join(', ')
}

export function recordedOutline({ echoed, conversation = [] }: RecordedExchange): Outline[] {
  return echoed ?? conversation
}

/** What was asked of the service for a run with a sign-in. */
export function credentialFacts(
  requests: number,
  tokens: number,
  accounts: number,
  end: string,
): Facts {
  return {
    requests: counted(requests, 'request'),
    tokens: counted(tokens, 'token request'),
    workspace: counted(accounts, 'account check'),
    end,
  }
}

/** Recordings whose first request is held against ours, field by field. */
export const REQUESTS_COMPARED = [
  '01-text-gpt-5.5',
  '02-text-default-model',
  '87-agents-md-and-effort',
  '91-output-schema-and-tier',
  '92-no-compression-flag',
  '94c-custom-provider',
]

/** A request by the names of its fields; objects of the body are taken apart. */
export function fieldsOf({ headers, body, layout }: SentRequest): Map<string, string> {
  const fields = new Map<string, string>()
  for (const [name, value] of Object.entries(headers)) fields.set(`header ${name}`, `\`${value}\``)
  const add = (name: string, value: unknown) => {
    const isOpen = name !== 'text.format.schema' && typeof value === 'object' && value !== null
    if (isOpen && !Array.isArray(value)) {
      for (const [key, inner] of Object.entries(value)) add(`${name}.${key}`, inner)
    } else
      fields.set(`body ${name}`, `\`${typeof value === 'string' ? value : JSON.stringify(value)}\``)
  }
  for (const [name, value] of Object.entries(body)) add(name, value)
  const items = layout.map(({ type, role }) => (role ? `${role} ${type}` : type))
  return fields.set('input', items.join(', '))
}
