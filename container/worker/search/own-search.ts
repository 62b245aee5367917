import { promises as fs } from 'node:fs'
import { join } from 'node:path'
import { type Context, createContext, Script } from 'node:vm'
import { messageOf } from '../../../shared/errors.ts'
import { LEFT_OUT_FOLDERS } from '../left-out-folders.ts'
import { readTextBytes } from '../read-file-bytes.ts'
import { ToolError } from '../tool.ts'
import { matchesGlob } from './glob.ts'
import { MAX_SEARCHED_FILE_BYTES, type Match, type Search } from './search.ts'

/** Time of a pattern for one file: some patterns never end, and they block the process. */
const MAX_FILE_MS = 1000

/**
 * Replaces `ripgrepMatches` where there is no ripgrep. The pattern is a JavaScript RegExp.
 * @throws ToolError for a pattern that is invalid, or takes too long.
 */
export async function* ownMatches(search: Search): AsyncGenerator<Match> {
  const { folder, file, glob, signal } = search
  const pattern = compile(search)
  for await (const path of file === undefined ? filesBelow(folder, '') : [file]) {
    if (signal.aborted) return
    if (glob !== undefined && !withinTime(() => matchesGlob(path, glob), path)) continue
    const text = await readTextBytes(join(folder, path), path, MAX_SEARCHED_FILE_BYTES).catch(
      // Binary, too long, or not readable: other files may still match.
      () => undefined,
    )
    if (text) yield* matchesIn(text.toString('utf8'), path, pattern)
  }
}

function compile({ pattern, ignoreCase }: Search): RegExp {
  const flags = ignoreCase ? 'i' : ''
  try {
    return new RegExp(pattern, `u${flags}`)
  } catch {
    // Without `u` an unknown escape is valid.
  }
  try {
    return new RegExp(pattern, flags)
  } catch (error) {
    throw new ToolError(messageOf(error))
  }
}

/** In the order of their paths; links are not followed. */
async function* filesBelow(folder: string, prefix: string): AsyncGenerator<string> {
  const entries = await fs.readdir(join(folder, prefix), { withFileTypes: true }).catch((error) => {
    if (prefix === '') throw error
    return []
  })
  entries.sort((a, b) => (a.name < b.name ? -1 : 1))
  for (const entry of entries) {
    const path = prefix + entry.name
    if (entry.isFile()) yield path
    else if (entry.isDirectory() && !LEFT_OUT_FOLDERS.includes(entry.name)) {
      yield* filesBelow(folder, `${path}/`)
    }
  }
}

function matchesIn(text: string, path: string, pattern: RegExp): Match[] {
  const lines = text.split('\n')
  if (lines.at(-1) === '') lines.pop()
  return withinTime(() => {
    const matches: Match[] = []
    for (const [index, line] of lines.entries()) {
      const text = line.endsWith('\r') ? line.slice(0, -1) : line
      const at = pattern.exec(text)?.index
      if (at !== undefined) matches.push({ path, line: index + 1, text, at })
    }
    return matches
  }, path)
}

/** Only a vm script can be stopped in the middle of a regular expression. */
const script = new Script('work()')
const scope: { work(): unknown } = { work: () => {} }
let context: Context | undefined

function withinTime<T>(work: () => T, path: string): T {
  context ??= createContext(scope)
  scope.work = work
  try {
    return script.runInContext(context, { timeout: MAX_FILE_MS }) as T
  } catch (error) {
    // An error of another context is no instance of our Error.
    const { code } = error as { code?: unknown }
    if (code !== 'ERR_SCRIPT_EXECUTION_TIMEOUT') throw error
    throw new ToolError(`The pattern takes too long to match in ${path}; make it simpler.`)
  }
}
