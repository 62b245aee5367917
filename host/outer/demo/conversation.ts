import type { Item } from '../../../shared/items.ts'

/** What was asked once, and what has been done about it. */
export interface Exchange {
  prompt: string
  calls: FinishedCall[]
  /** Whether the answer has been given; false while calls are being made, and after an interrupt. */
  isFinished: boolean
}

export interface FinishedCall {
  name: string
  arguments: Record<string, unknown>
  output: string
}

/** Reads a conversation as the exchanges it consists of, oldest first. Never throws. */
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

/** Text stands either as a string or as a list of parts. */
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
    // A call with invalid arguments was answered with an error, which is what counts.
    return {}
  }
}
