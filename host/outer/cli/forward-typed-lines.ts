import type { Run } from '../../runs/run.ts'
import type { Screen } from './screen.ts'

/**
 * Sends the agent each line that the user types during a run. The terminal stays in line mode, so
 * that Ctrl-C is a signal. Returns a function that stops listening.
 */
export function forwardTypedLines(run: Run, screen: Screen): () => void {
  let unfinished = ''
  const onData = (chunk: Buffer) => {
    const lines = (unfinished + chunk.toString('utf8')).split('\n')
    unfinished = lines.pop() ?? ''
    for (const line of lines.map((text) => text.trim()).filter(Boolean)) {
      run.message(line)
      screen.note(`told: ${line}`)
    }
  }
  process.stdin.on('data', onData)
  process.stdin.resume()
  return () => {
    process.stdin.off('data', onData)
    process.stdin.pause()
  }
}
