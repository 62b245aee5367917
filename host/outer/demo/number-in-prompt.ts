const WORDS = {
  one: 1,
  two: 2,
  three: 3,
  four: 4,
  five: 5,
  six: 6,
  seven: 7,
  eight: 8,
  nine: 9,
  ten: 10,
  twelve: 12,
  fifteen: 15,
  twenty: 20,
  thirty: 30,
  fifty: 50,
  hundred: 100,
}

const NUMBER = `\\d[\\d,_]*|${Object.keys(WORDS).join('|')}`
const anyNumber = new RegExp(`\\b(?:${NUMBER})\\b`, 'i')
const bound = new RegExp(
  `\\b(below|under|up to|less than|smaller than)\\s+(?:a\\s+)?(${NUMBER})\\b`,
  'i',
)
/** A number that counts something takes precedence over other numbers ("with Node 22"). */
const count = [
  new RegExp(`\\bfirst\\s+(${NUMBER})\\b`, 'i'),
  new RegExp(`\\b(${NUMBER})\\s+(?:\\w+\\s+)?(?:primes?|fibonacci|numbers)\\b`, 'i'),
  new RegExp(`\\b(${NUMBER})\\b`, 'i'),
]

/** The requested count or upper bound. */
export type Extent = { count: number } | { below: number } | { upTo: number }

/** Undefined when the prompt names no number. */
export function extentIn(prompt: string): Extent | undefined {
  const [, word = '', limit] = bound.exec(prompt) ?? []
  if (limit) return /up to/i.test(word) ? { upTo: numberOf(limit) } : { below: numberOf(limit) }
  for (const pattern of count) {
    const match = pattern.exec(prompt)?.[1]
    if (match) return { count: numberOf(match) }
  }
  return undefined
}

/** `prompt` with its number replaced by the one in `source`, if there is one. */
export function withNumberOf(source: string, prompt: string): string {
  const number = anyNumber.exec(source)?.[0]
  if (!number) return prompt
  return anyNumber.test(prompt) ? prompt.replace(anyNumber, number) : `${prompt} ${number}`
}

function numberOf(text: string): number {
  const word = text.toLowerCase()
  return word in WORDS ? WORDS[word as keyof typeof WORDS] : Number(text.replace(/[,_]/g, ''))
}
