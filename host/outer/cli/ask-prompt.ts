import { createInterface, type Interface, type Key } from 'node:readline'
import { visible } from '../../../shared/visible-text.ts'
import { takesEscapes } from '../../terminal.ts'

export const PROMPT = '\n› '

/** Bracketed paste mode: the terminal marks pasted text, in which a line end is no Enter. */
const MARK_PASTES = '\x1b[?2004h'
const MARK_NO_PASTES = '\x1b[?2004l'

export interface Typed {
  /** Undefined: the user left, by Ctrl-D or Ctrl-C. A pasted prompt may have several lines. */
  prompts: (string | undefined)[]
  /** The prompt that is still being typed. */
  rest: Rest
}

interface Rest {
  /** Complete pasted lines. */
  pasted: string[]
  line: string
}

export const NOTHING: Typed = { prompts: [], rest: { pasted: [], line: '' } }

/** Waits for a prompt. Text typed during a run may hold several prompts at once. */
export async function askPrompt(history: readonly string[], unfinished: Rest): Promise<Typed> {
  // Stdin may have ended between two prompts, and emits `end` only once.
  if (process.stdin.readableEnded) return { ...NOTHING, prompts: [undefined] }
  const isEdited = process.stdin.isTTY && takesEscapes(process.stderr)
  const reader = createInterface({
    input: process.stdin,
    output: process.stderr,
    prompt: PROMPT,
    history: [...history],
    terminal: isEdited,
  })
  // Without line editing, Ctrl-C arrives as a signal.
  const onInterrupt = () => reader.close()
  if (!isEdited) process.once('SIGINT', onInterrupt)
  const markPastes = () => isEdited && process.stderr.write(MARK_PASTES)
  markPastes()
  // After Ctrl-Z and `fg` nothing but a paused reader keeps this process alive, and the shell has reset the paste mode.
  reader.on('SIGCONT', () => {
    markPastes()
    reader.setPrompt(
      PROMPT +
        collected()
          .pasted.map((line) => `${visible(line)}\n`)
          .join(''),
    )
    reader.prompt(true)
  })
  const { collected, firstPrompt, stop } = collectPrompts(reader, unfinished.pasted)
  reader.prompt()
  if (unfinished.line) reader.write(unfinished.line)
  await firstPrompt
  const { prompts, pasted } = collected()
  const typed = { prompts, rest: { pasted, line: reader.line } }
  process.off('SIGINT', onInterrupt)
  stop()
  reader.close()
  if (isEdited) process.stderr.write(MARK_NO_PASTES)
  if (prompts[0] === undefined) process.stderr.write('\n')
  return typed
}

/** `firstPrompt` resolves when the first prompt is complete. */
function collectPrompts(reader: Interface, earlierLines: readonly string[]) {
  const prompts: (string | undefined)[] = []
  let pasted = [...earlierLines]
  let isPaste = false
  const onKey = (_: unknown, { name }: Key) => {
    if (name === 'paste-start') isPaste = true
    if (name === 'paste-end') isPaste = false
  }
  process.stdin.on('keypress', onKey)
  const firstPrompt = new Promise<void>((resolve) => {
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
    collected: () => ({ prompts: [...prompts], pasted }),
    firstPrompt,
    stop: () => void process.stdin.off('keypress', onKey),
  }
}
