import { createInterface } from 'node:readline'
import { takesEscapes } from '../../terminal.ts'

/**
 * Asks the user, and yields the typed lines until the input ends or `signal` fires. The reader may stop
 * after any line.
 */
export type Ask = (question: string, signal: AbortSignal) => AsyncIterable<string>

/** Asks on the terminal, or reads the lines of another program from stdin. */
export async function* promptForLines(
  question: string,
  signal: AbortSignal,
  { input = process.stdin, output = process.stderr } = {},
): AsyncGenerator<string> {
  if (signal.aborted) return
  const lines = createInterface({
    input,
    output,
    // Raw mode: in line mode, a macOS terminal cuts lines longer than 1024 characters.
    terminal: input.isTTY && takesEscapes(output),
    prompt: question,
    historySize: 0,
    signal,
  })
  // In raw mode Ctrl-C is a character, not a signal.
  lines.on('SIGINT', () => process.kill(process.pid, 'SIGINT'))
  try {
    lines.prompt()
    for await (const line of lines) {
      yield line
      lines.prompt()
    }
  } finally {
    lines.close()
    // The cursor is still on the line of the question.
    if (signal.aborted && output.isTTY) output.write('\n')
  }
}
