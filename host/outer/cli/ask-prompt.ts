import { createInterface, type Interface, type Key } from 'node:readline'
import { visible } from '../../../shared/visible-text.ts'
import { takesEscapes } from '../../terminal.ts'

export const PROMPT = '\n› '

/** A terminal that is told so marks what is pasted, in which an end of a line is no Enter. */
const MARK_PASTES = '\x1b[?2004h'
const MARK_NO_PASTES = '\x1b[?2004l'

export interface Typed {
  /** Undefined stands for leaving: Ctrl-D, or Ctrl-C. One may have several lines, where they were pasted. */
  prompts: (string | undefined)[]
  /** The beginning of one that is not finished. */
  rest: Rest
}

interface Rest {
  /** Whole lines that were pasted. */
  pasted: string[]
  line: string
}

export const NOTHING: Typed = { prompts: [], rest: { pasted: [], line: '' } }

/** Waits for a prompt. Text that was typed ahead, during a run, may be several at once. */
export async function askPrompt(history: readonly string[], begun: Rest): Promise<Typed> {
  // It may have ended between two prompts, and it says so only once.
  if (process.stdin.readableEnded) return { ...NOTHING, prompts: [undefined] }
  const isEdited = process.stdin.isTTY && takesEscapes(process.stderr)
  const reader = createInterface({
    input: process.stdin,
    output: process.stderr,
    prompt: PROMPT,
    history: [...history],
    terminal: isEdited,
  })
  // Where the line is not edited here, Ctrl-C is a signal.
  const leave = () => reader.close()
  if (!isEdited) process.once('SIGINT', leave)
  const markPastes = () => isEdited && process.stderr.write(MARK_PASTES)
  markPastes()
  // After Ctrl-Z and `fg` the reader is paused, and nothing else would keep this process alive. The shell has its own marks.
  reader.on('SIGCONT', () => {
    markPastes()
    reader.setPrompt(
      PROMPT +
        taken()
          .pasted.map((line) => `${visible(line)}\n`)
          .join(''),
    )
    reader.prompt(true)
  })
  const { taken, isIn, stop } = takePrompts(reader, begun.pasted)
  reader.prompt()
  if (begun.line) reader.write(begun.line)
  await isIn
  const { prompts, pasted } = taken()
  const typed = { prompts, rest: { pasted, line: reader.line } }
  process.off('SIGINT', leave)
  stop()
  reader.close()
  if (isEdited) process.stderr.write(MARK_NO_PASTES)
  if (prompts[0] === undefined) process.stderr.write('\n')
  return typed
}

/** `isIn` resolves with the first prompt. */
function takePrompts(reader: Interface, begun: readonly string[]) {
  const prompts: (string | undefined)[] = []
  let pasted = [...begun]
  let isPaste = false
  const onKey = (_: unknown, { name }: Key) => {
    if (name === 'paste-start') isPaste = true
    if (name === 'paste-end') isPaste = false
  }
  process.stdin.on('keypress', onKey)
  const isIn = new Promise<void>((resolve) => {
    reader.on('line', (line) => {
      pasted.push(line)
      if (isPaste) return
      prompts.push(pasted.join('\n'))
      pasted = []
      resolve()
    })
    reader.once('close', () => {
      prompts.push(undefined)
      resolve()
    })
    reader.once('SIGINT', () => reader.close())
  })
  return {
    taken: () => ({ prompts: [...prompts], pasted }),
    isIn,
    stop: () => void process.stdin.off('keypress', onKey),
  }
}
