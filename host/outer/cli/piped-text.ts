import { fstatSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { CodexboxError } from '../../../shared/errors.ts'
import { decodeText } from './decode-text.ts'

/** A prompt has less by far; a service takes no more than 64 MB in all. */
const MAX_BYTES = 16 * 1024 * 1024

/** How long the first byte may take where there is a prompt already: many start us with a pipe that nobody uses. */
const FIRST_BYTE_MS = 1000

/** How long what has begun may be silent. */
const SILENT_MS = 60_000

/** The whole of stdin, to its end. @throws CodexboxError `wrong-use` for what is no text, or too much */
export async function readPipedPrompt(): Promise<string> {
  return decodeText((await readAll(process.stdin)) ?? Buffer.alloc(0), 'stdin')
}

/**
 * `prompt`, and below it what is piped in beside it, marked as such: `git diff | codexbox run "review this"`. A pipe
 * that stays open and silent is left alone, which `tell` is told.
 * @throws CodexboxError `wrong-use` for what is no text, too much, or does not come to its end
 */
export async function withPipedText(
  prompt: string,
  tell: (message: string) => void,
): Promise<string> {
  if (!mayHaveText()) return prompt
  const timeouts = { firstByteMs: FIRST_BYTE_MS, silentMs: SILENT_MS }
  const bytes = await readAll(process.stdin, timeouts)
  if (!bytes) {
    tell(
      `Nothing came on stdin within ${FIRST_BYTE_MS / 1000} s: the prompt is sent alone. ` +
        'What takes longer to come can be given as a file: codexbox run "…" < FILE',
    )
    return prompt
  }
  const text = decodeText(bytes, 'stdin')
  return text.trim() === '' ? prompt : `${prompt}\n\n${marked(text)}`
}

/** A file or a pipe; not a terminal, /dev/null or a closed one. */
function mayHaveText(): boolean {
  try {
    const stats = fstatSync(0)
    return stats.isFile() || stats.isFIFO() || stats.isSocket()
  } catch {
    return false
  }
}

/** In a mark that the text does not hold, and so cannot close. */
function marked(text: string): string {
  let name = 'stdin'
  for (let number = 2; text.includes(`</${name}>`); number++) name = `stdin-${number}`
  return `<${name}>\n${text}${text.endsWith('\n') ? '' : '\n'}</${name}>`
}

interface ReadTimeouts {
  firstByteMs: number
  silentMs: number
}

/** Undefined when nothing came in time. */
async function readAll(
  input: NodeJS.ReadStream,
  patience?: ReadTimeouts,
): Promise<Buffer | undefined> {
  const pieces: Buffer[] = []
  let bytes = 0
  const chunks = input[Symbol.asyncIterator]()
  try {
    for (;;) {
      const ms = patience && (bytes === 0 ? patience.firstByteMs : patience.silentMs)
      const next = await within(chunks.next(), ms)
      if (next === 'late') {
        if (bytes === 0) return undefined
        throw neverEnds(bytes, ms ?? 0)
      }
      if (next.done) return Buffer.concat(pieces)
      const piece = Buffer.from(next.value)
      bytes += piece.length
      if (bytes > MAX_BYTES) throw tooMuch()
      pieces.push(piece)
    }
  } finally {
    // Left open, it would keep this process from ending.
    if (patience) input.destroy()
  }
}

async function within<T>(work: Promise<T>, ms: number | undefined): Promise<T | 'late'> {
  if (ms === undefined) return work
  const isInTime = new AbortController()
  const late = sleep(ms, 'late' as const, { signal: isInTime.signal }).catch(() => 'late' as const)
  try {
    return await Promise.race([work, late])
  } finally {
    isInTime.abort()
  }
}

function neverEnds(bytes: number, ms: number): CodexboxError {
  return new CodexboxError(
    'wrong-use',
    `Stdin gave ${bytes} bytes, then nothing for ${ms / 1000} s, and is still open: nothing was asked, since there may be ` +
      'more to come. Put the text into a file and give that on stdin.',
  )
}

function tooMuch(): CodexboxError {
  return new CodexboxError(
    'wrong-use',
    `There is more on stdin than ${MAX_BYTES / 1024 / 1024} MB. Put it into a file in the workspace, and name that in the prompt.`,
  )
}
