import { fstatSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { CodexboxError } from '../../../shared/errors.ts'
import { decodeText } from './decode-text.ts'

/** Far more than a prompt needs; the service accepts 64 MB in all. */
const MAX_BYTES = 16 * 1024 * 1024

/** Wait for the first byte beside a prompt argument: many parents leave an unused pipe open on stdin. */
const FIRST_BYTE_MS = 1000

/** Longest silence after the first byte. */
const SILENT_MS = 60_000

/** Reads stdin to its end. @throws CodexboxError `wrong-use` when it is no text, or too large */
export async function readPipedPrompt(): Promise<string> {
  return decodeText((await readAll(process.stdin)) ?? Buffer.alloc(0), 'stdin')
}

/**
 * Appends piped text to `prompt`, inside a tag: `git diff | codexbox run "review this"`. A pipe that stays open
 * and silent is ignored, with a message to `notify`.
 * @throws CodexboxError `wrong-use` when the text is no text, too large, or never ends
 */
export async function withPipedText(
  prompt: string,
  notify: (message: string) => void,
): Promise<string> {
  if (!mayHaveText()) return prompt
  const timeouts = { firstByteMs: FIRST_BYTE_MS, silentMs: SILENT_MS }
  const bytes = await readAll(process.stdin, timeouts)
  if (!bytes) {
    notify(
      `Nothing came on stdin within ${FIRST_BYTE_MS / 1000} s: the prompt is sent alone. ` +
        'What takes longer to come can be given as a file: codexbox run "…" < FILE',
    )
    return prompt
  }
  const text = decodeText(bytes, 'stdin')
  return text.trim() === '' ? prompt : `${prompt}\n\n${marked(text)}`
}

/** True for a file, pipe or socket; false for a terminal, /dev/null or a closed stdin. */
function mayHaveText(): boolean {
  try {
    const stats = fstatSync(0)
    return stats.isFile() || stats.isFIFO() || stats.isSocket()
  } catch {
    return false
  }
}

/** Inside a tag whose name the text does not contain, so that the text cannot close it. */
function marked(text: string): string {
  let name = 'stdin'
  for (let number = 2; text.includes(`</${name}>`); number++) name = `stdin-${number}`
  return `<${name}>\n${text}${text.endsWith('\n') ? '' : '\n'}</${name}>`
}

interface ReadTimeouts {
  firstByteMs: number
  silentMs: number
}

/** Undefined when no byte arrived in time. */
async function readAll(
  input: NodeJS.ReadStream,
  timeouts?: ReadTimeouts,
): Promise<Buffer | undefined> {
  const pieces: Buffer[] = []
  let bytes = 0
  const chunks = input[Symbol.asyncIterator]()
  try {
    for (;;) {
      const ms = timeouts && (bytes === 0 ? timeouts.firstByteMs : timeouts.silentMs)
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
    // An open stdin would keep this process alive.
    if (timeouts) input.destroy()
  }
}

async function within<T>(work: Promise<T>, ms: number | undefined): Promise<T | 'late'> {
  if (ms === undefined) return work
  const settled = new AbortController()
  const late = sleep(ms, 'late' as const, { signal: settled.signal }).catch(() => 'late' as const)
  try {
    return await Promise.race([work, late])
  } finally {
    settled.abort()
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
