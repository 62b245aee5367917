import { promises as fs } from 'node:fs'
import { basename, dirname, relative, resolve } from 'node:path'
import { clip } from '../clipped-output.ts'
import { notExact } from '../exact-text.ts'
import { ownMatches } from '../search/own-search.ts'
import { hasRipgrep, ripgrepMatches } from '../search/ripgrep.ts'
import type { Search } from '../search/search.ts'
import type { FunctionTool } from '../tool.ts'

export const searchFiles: FunctionTool = {
  name: 'search_files',
  description:
    'Search the text of files for a regular expression, line by line. Returns `path:line:text` of ' +
    'each line that matches. What .git and node_modules hold, and binary files, are left out.',
  parameters: {
    type: 'object',
    properties: {
      pattern: { type: 'string', description: 'Regular expression.' },
      path: {
        type: 'string',
        description: 'Folder or file, relative to the workspace; default: the workspace.',
      },
      glob: {
        type: 'string',
        description:
          'Only files with such a name or path below the folder: *.ts, src/**/*.ts, !*.md',
      },
      ignore_case: { type: 'boolean', description: 'Default: false.' },
    },
    required: ['pattern'],
    additionalProperties: false,
  },

  async run(args, { workspace, limits, signal }) {
    const pattern = args.string('pattern')
    const path = resolve(workspace, args.optionalString('path') ?? '.')
    const glob = args.optionalString('glob')
    const ignoreCase = args.flag('ignore_case')

    const isFolder = (await fs.stat(path)).isDirectory()
    const where = isFolder
      ? { folder: path, file: undefined }
      : { folder: dirname(path), file: basename(path) }
    const prefix = relative(workspace, where.folder)
    const stop = new AbortController()
    const timer = setTimeout(() => stop.abort(), Math.min(MAX_MS, limits.toolMs))
    const onAbort = () => stop.abort()
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      const matches = await collect(
        { ...where, pattern, ignoreCase, glob, signal: stop.signal },
        prefix,
      )
      return report(matches, stop.signal.aborted, limits.toolOutputBytes)
    } finally {
      clearTimeout(timer)
      signal.removeEventListener('abort', onAbort)
    }
  },
}

const MAX_MS = 20_000
const MAX_MATCHES = 200
const MAX_LINE_LENGTH = 400

/** At most `MAX_MATCHES` + 1 lines: the last one tells that there are more. */
async function collect(search: Search, prefix: string): Promise<string[]> {
  const lines: string[] = []
  const matches = (await hasRipgrep()) ? ripgrepMatches(search) : ownMatches(search)
  for await (const { path, line, text, at } of matches) {
    const name = prefix === '' ? path : `${prefix}/${path}`
    lines.push(`${name}:${line}:${shortened(text, at)}`)
    if (lines.length > MAX_MATCHES) break
  }
  return lines
}

/** The part of a long line around the match. */
function shortened(text: string, at: number): string {
  if (text.length <= MAX_LINE_LENGTH) return text
  const last = text.length - MAX_LINE_LENGTH
  const start = Math.max(0, Math.min(at - MAX_LINE_LENGTH / 4, last))
  // Drop half a surrogate pair at either end.
  const part = text
    .slice(start, start + MAX_LINE_LENGTH)
    .replace(/^[\uDC00-\uDFFF]|[\uD800-\uDBFF]$/g, '')
  return `${start > 0 ? '[…] ' : ''}${part}${start < last ? ' […]' : ''}`
}

function report(matches: readonly string[], isCutShort: boolean, limitBytes: number) {
  const shown = matches.slice(0, MAX_MATCHES)
  const isMore = matches.length > MAX_MATCHES
  const count = isMore ? `the first ${MAX_MATCHES} matches` : `${shown.length} matches`
  const notes = [
    ...(isMore ? [`[only ${count} are shown: ${countsOf(shown)}]`] : []),
    ...(isCutShort ? ['[the search took too long and was ended before it was through]'] : []),
  ]
  if (shown.some((line) => line.includes('\uFFFD'))) notes.push(notExact('one of these lines'))
  const lines = shown.length > 0 || isCutShort ? [...shown, ...notes] : ['(no match)']
  return { ok: true, output: clip(lines.join('\n'), limitBytes), summary: count }
}

/** The number of matches of each file, the highest first. */
function countsOf(shown: readonly string[]): string {
  const counts = new Map<string, number>()
  for (const line of shown) {
    const file = /^(.*?):\d+:/.exec(line)?.[1] ?? ''
    counts.set(file, (counts.get(file) ?? 0) + 1)
  }
  const files = [...counts].sort(([, a], [, b]) => b - a)
  const named = files.slice(0, MAX_COUNTED).map(([file, count]) => `${count} of ${file}`)
  const rest = files.length - named.length
  return [...named, ...(rest > 0 ? [`the others of ${rest} files more`] : [])].join(', ')
}

const MAX_COUNTED = 5
