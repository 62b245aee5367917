import { IMAGE_URL } from '../../shared/image-url.ts'
import { MAX_IMAGE_CHARS, MAX_TEXT_CHARS } from '../worker/answer-bounds.ts'
import type { Session } from '../worker/sessions.ts'
import type { ToolResult } from '../worker/tool.ts'
import type { WorkerAnswer } from '../worker/worker.ts'

export type CheckedAnswer =
  | { type: 'ready' }
  | { type: 'output'; id: number; text: string }
  | { type: 'result'; id: number; result: ToolResult }
  | { type: 'sessions'; sessions: Session[] }

/**
 * Checked though the worker is ours: where the tools are not isolated from it, one of them may have
 * written the line.
 * @throws Error when `line` is no answer.
 */
export function parseAnswer(line: string): CheckedAnswer {
  const answer = JSON.parse(line) as WorkerAnswer
  switch (answer.type) {
    case 'ready':
      return { type: 'ready' }
    case 'output':
      return checkedOutput(answer)
    case 'result':
      return checkedResult(answer)
    case 'sessions':
      return checkedSessions(answer)
    default:
      throw new Error('not an answer')
  }
}

function checkedOutput({ type, id, text }: Extract<WorkerAnswer, { type: 'output' }>) {
  if (typeof text !== 'string' || text.length > MAX_TEXT_CHARS) throw new Error('not an output')
  return { type, id, text }
}

function checkedResult(answer: Extract<WorkerAnswer, { type: 'result' }>): CheckedAnswer {
  const { type, id, ok, output, images, summary } = answer
  if (
    typeof ok !== 'boolean' ||
    typeof output !== 'string' ||
    typeof summary !== 'string' ||
    !(images === undefined || areImages(images))
  ) {
    throw new Error('not a result')
  }
  return { type, id, result: { ok, output, summary, ...(images ? { images } : {}) } }
}

function checkedSessions({ type, sessions }: Extract<WorkerAnswer, { type: 'sessions' }>) {
  const isSession = ({ id, pid, title }: Session) =>
    Number.isSafeInteger(id) && Number.isSafeInteger(pid) && pid > 1 && typeof title === 'string'
  if (!Array.isArray(sessions) || !sessions.every(isSession)) throw new Error('not sessions')
  return { type, sessions }
}

/** Data URLs only: the service itself would fetch any other URL. */
function areImages(value: unknown): boolean {
  if (!Array.isArray(value)) return false
  const areData = value.every((url) => typeof url === 'string' && IMAGE_URL.test(url))
  return areData && value.reduce((sum, { length }) => sum + length, 0) <= MAX_IMAGE_CHARS
}
