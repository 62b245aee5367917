import { createInterface } from 'node:readline'
import { takesEscapes } from '../../terminal.ts'

/**
 * Asks a person, and yields what is typed, line by line, until the input ends or `signal` fires. The
 * reader may look at as many lines as it wants.
 */
export type Ask = (question: string, signal: AbortSignal) => AsyncIterable<string>

/** Asks on the terminal, or reads what another program writes to us. */
export async function* promptForLines(
  question: string,
  signal: AbortSignal,
  { input = process.stdin, output = process.stderr } = {},
): AsyncGenerator<string> {
  if (signal.aborted) return
  const lines = createInterface({
    input,
    output,
    // Raw mode: in its own line mode a terminal cuts what is longer than 1024 characters on macOS.
    terminal: input.isTTY && takesEscapes(output),
    prompt: question,
    historySize: 0,
    signal,
  })
  // In raw mode Ctrl-C is only a character.
  lines.on('SIGINT', () => process.kill(process.pid, 'SIGINT'))
  try {
    lines.prompt()
    for await (const line of lines) {
      yield line
      lines.prompt()
    }
  } finally {
    lines.close()
    // The cursor stands behind the question.
    if (signal.aborted && output.isTTY) output.write('\n')
  }
}
