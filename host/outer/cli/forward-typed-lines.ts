import type { Run } from '../../runs/run.ts'
import type { Screen } from './screen.ts'

/**
 * Tells the agent each line that is typed while it works. The terminal stays as it is, line by line,
 * so that Ctrl-C is a signal. Returns how to stop listening.
 */
export function forwardTypedLines(run: Run, screen: Screen): () => void {
  let unfinished = ''
  const take = (chunk: Buffer) => {
    const lines = (unfinished + chunk.toString('utf8')).split('\n')
    unfinished = lines.pop() ?? ''
    for (const line of lines.map((text) => text.trim()).filter(Boolean)) {
      run.message(line)
      screen.note(`told: ${line}`)
    }
  }
  process.stdin.on('data', take)
  process.stdin.resume()
  return () => {
    process.stdin.off('data', take)
    process.stdin.pause()
  }
}
