import type { Item } from '../../../shared/items.ts'

/** A prompt and the calls made for it. */
export interface Exchange {
  prompt: string
  calls: FinishedCall[]
  /** Whether the final answer was given; false during the calls and after an interrupt. */
  isFinished: boolean
}

export interface FinishedCall {
  name: string
  arguments: Record<string, unknown>
  output: string
}

/** Splits a conversation into exchanges, oldest first. Never throws. */
export function readExchanges(input: string | readonly Item[]): Exchange[] {
  if (typeof input === 'string') return [{ prompt: input, calls: [], isFinished: false }]
  const outputs = new Map<unknown, string>()
  for (const item of input) {
    if (item.type === 'function_call_output') outputs.set(item.call_id, textOf(item.output))
  }
  const exchanges: Exchange[] = []
  for (const item of input) {
    if (item.type === 'message' && item.role === 'user') {
      exchanges.push({ prompt: textOf(item.content), calls: [], isFinished: false })
    }
    const current = exchanges.at(-1)
    if (!current) continue
    if (item.type === 'message' && item.role === 'assistant') current.isFinished = true
    if (item.type === 'function_call') {
      current.isFinished = false
      current.calls.push({
        name: String(item.name),
        arguments: parseArguments(item.arguments),
        output: outputs.get(item.call_id) ?? '',
      })
    }
  }
  return exchanges
}

/** Content is a string or a list of parts. */
function textOf(content: unknown): string {
  if (typeof content === 'string') return content
  if (!Array.isArray(content)) return ''
  return content.map((part: { text?: unknown } | null) => String(part?.text ?? '')).join('')
}

function parseArguments(text: unknown): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(String(text))
    return typeof value === 'object' && value !== null ? { ...value } : {}
  } catch {
    // A call with invalid arguments got an error as its output; the script reads that instead.
    return {}
  }
}
