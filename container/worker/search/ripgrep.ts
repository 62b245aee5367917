import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readLines } from '../../../shared/read-lines.ts'
import { LEFT_OUT_FOLDERS } from '../left-out-folders.ts'
import { ToolError } from '../tool.ts'
import { MAX_SEARCHED_FILE_BYTES, type Match, type Search } from './search.ts'

/** A line of the longest file, with every byte escaped. */
const MAX_LINE_BYTES = 8 * MAX_SEARCHED_FILE_BYTES

/** Whether `rg` can be run. */
export async function hasRipgrep(): Promise<boolean> {
  const child = spawn('rg', ['--version'], { stdio: 'ignore' })
  try {
    const [code] = await once(child, 'exit')
    return code === 0
  } catch {
    return false // Missing, or not executable for us.
  }
}

/**
 * The matches of ripgrep, in the order of their paths: first in files that git does not ignore, then in the rest,
 * such as a virtual environment or build output.
 * @throws ToolError for an invalid pattern.
 */
export async function* ripgrepMatches(search: Search): AsyncGenerator<Match> {
  const seen = new Set<string>()
  for await (const match of matchesBy(search, [])) {
    seen.add(`${match.path}:${match.line}`)
    yield match
  }
  for await (const match of matchesBy(search, ['--no-ignore'])) {
    if (!seen.has(`${match.path}:${match.line}`)) yield match
  }
}

async function* matchesBy(search: Search, ignoring: readonly string[]): AsyncGenerator<Match> {
  const { folder, signal } = search
  if (signal.aborted) return
  const args = [...ignoring, ...argsFor(search)]
  const child = spawn('rg', args, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] })
  const exited = once(child, 'exit')
  // Awaited below, unless reading fails first.
  exited.catch(() => {})
  const kill = () => void child.kill('SIGKILL')
  signal.addEventListener('abort', kill, { once: true })
  let complaint = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    if (complaint.length < 2000) complaint += text
  })
  try {
    for await (const line of readLines(child.stdout, MAX_LINE_BYTES)) {
      const event = JSON.parse(line) as RipgrepEvent
      if (event.type === 'match') yield matchOf(event.data)
    }
    const [code] = await exited
    // Unreadable files also give exit code 2, but no message (`--no-messages`).
    if (code === 2 && complaint !== '') throw new ToolError(complaint.trim().slice(0, 2000))
  } finally {
    signal.removeEventListener('abort', kill)
    kill()
  }
}

function argsFor({ pattern, ignoreCase, file, glob }: Search): string[] {
  const leftOut = LEFT_OUT_FOLDERS.flatMap((name) => ['--glob', `!**/${name}/**`])
  return [
    ...['--no-config', '--json', '--sort=path', '--no-messages', '--hidden'],
    ...(ignoreCase ? ['--ignore-case'] : []),
    `--max-filesize=${MAX_SEARCHED_FILE_BYTES}`,
    ...(glob === undefined ? [] : ['--glob', glob]),
    ...leftOut,
    ...['--regexp', pattern, '--', `./${file ?? ''}`],
  ]
}

/** Text, or base64 of bytes that are not UTF-8. */
type RipgrepText = { text: string } | { bytes: string }
type RipgrepEvent = { type: 'match'; data: RipgrepMatch } | { type: 'begin' | 'end' | 'summary' }

interface RipgrepMatch {
  path: RipgrepText
  lines: RipgrepText
  line_number: number
  /** Offsets in bytes. */
  submatches: { start: number }[]
}

function matchOf({ path, lines, line_number: line, submatches }: RipgrepMatch): Match {
  const bytes = bytesOf(lines)
  return {
    path: bytesOf(path).toString('utf8').replace(/^\.\//, ''),
    line,
    text: bytes.toString('utf8').replace(/\r?\n$/, ''),
    at: bytes.subarray(0, submatches[0]?.start ?? 0).toString('utf8').length,
  }
}

const bytesOf = (value: RipgrepText) =>
  'text' in value ? Buffer.from(value.text) : Buffer.from(value.bytes, 'base64')
