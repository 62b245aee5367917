import { CodexboxError } from '../../shared/errors.ts'
import { quote } from '../../shared/visible-text.ts'
import type { AgentExit } from './engine.ts'

/** The error for a container that ended before the run did. `stderrTail` is the end of its stderr. */
export function containerLost(exit: AgentExit, stderrTail: string): CodexboxError {
  if ('lost' in exit && exit.error) return exit.error
  const how =
    'lost' in exit ? exit.lost : `it ended with ${exit.signal ?? `exit code ${exit.code}`}`
  const hint = 'code' in exit && exit.code === 137 ? ' (killed, perhaps for want of memory)' : ''
  return new CodexboxError(
    'container-lost',
    `The container was lost before the run had finished: ${how}${hint}.${stderrTail ? ` Its last words: ${quote(stderrTail)}` : ''}`,
  )
}
