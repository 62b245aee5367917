import { promises as fs } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { messageOf } from '../../../shared/errors.ts'
import { liesIn } from '../../../shared/lies-in.ts'
import { commitFiles, type FileWrite } from '../commit-files.ts'
import { exactText } from '../exact-text.ts'
import { existing, followLinks } from '../follow-links.ts'
import { applySections } from '../patch/apply-sections.ts'
import { type FileChange, PATCH_GRAMMAR, parsePatch } from '../patch/parse-patch.ts'
import { readTextBytes } from '../read-file-bytes.ts'
import { type FreeFormTool, type ToolContext, ToolError, type ToolResult } from '../tool.ts'
import { HalfDoneError } from '../write-in-place.ts'

export const applyPatch: FreeFormTool = {
  name: 'apply_patch',
  description:
    'Change files with a patch: the text itself, not JSON. Lines kept or taken out have to be in ' +
    'the file; three lines of context on each side are enough, and `@@ line` names a line further ' +
    'up where they are not. Paths are relative to the workspace. All of it is done or nothing.',
  grammar: PATCH_GRAMMAR,

  run: (input, context) => patchFiles(input, context.workspace, context),
}

/** The paths in the patch are relative to `folder`, and must lie in the workspace. */
export function patchFiles(
  input: string,
  folder: string,
  { workspace, signal }: ToolContext,
): Promise<ToolResult> {
  // One after the other: two concurrent patches of one file would overwrite each other.
  const result = last.then(() =>
    signal.aborted
      ? failed('apply_patch failed: the run was interrupted\nNothing was changed.')
      : applyAll(input, new PatchedFiles(workspace, folder)),
  )
  last = result
  return result
}

let last: Promise<unknown> = Promise.resolve()

/** A much larger file takes seconds and hundreds of megabytes if its lines are short. */
const MAX_FILE_BYTES = 4 * 1024 * 1024

/** Never rejects. The output has the format that models know of this tool. */
async function applyAll(input: string, files: PatchedFiles): Promise<ToolResult> {
  const startedAt = performance.now()
  try {
    for (const change of parsePatch(input)) await files.take(change)
  } catch (error) {
    return failed(`apply_patch verification failed: ${messageOf(error)}`)
  }
  try {
    await commitFiles(files.writes)
  } catch (error) {
    const isUndone = !(error instanceof HalfDoneError)
    const outcome = isUndone ? 'Nothing was changed' : 'The patch is half done'
    return failed(`apply_patch failed: ${messageOf(error)}\n${outcome}.`)
  }
  const seconds = Math.round((performance.now() - startedAt) / 100) / 10
  const list = files.summary.map((line) => `${line}\n`).join('')
  return {
    ok: true,
    output:
      `Exit code: 0\nWall time: ${seconds} seconds\nOutput:\n` +
      `Success. Updated the following files:\n${list}`,
    summary: files.summary.join(', '),
  }
}

function failed(output: string): ToolResult {
  return { ok: false, output, summary: output.split('\n', 1)[0] ?? '' }
}

/** The new state of the files of a patch; nothing is written here. A later change builds on an earlier one. */
class PatchedFiles {
  readonly #workspace: string
  readonly #folder: string
  readonly #writes = new Map<string, FileWrite>()
  readonly #touched: { letter: 'A' | 'M' | 'D'; path: string }[] = []

  constructor(workspace: string, folder: string) {
    this.#workspace = workspace
    this.#folder = folder
  }

  get writes(): FileWrite[] {
    // A file that was added and removed again needs no step.
    return [...this.#writes.values()].filter(
      ({ before, content }) => before || content !== undefined,
    )
  }

  /** The paths as the patch has them, each with the letter of its change. */
  get summary(): string[] {
    const lines = this.#touched.map(({ letter, path }) => `${letter} ${path}`)
    const order = (line: string) => 'AMD'.indexOf(line[0] ?? '')
    return [...new Set(lines)].sort((a, b) => order(a) - order(b))
  }

  async take(change: FileChange): Promise<void> {
    const path = this.#inside(change.path)
    if (change.type === 'add') {
      await this.#put(path, change.content)
      this.#touched.push({ letter: 'A', path: change.path })
    } else if (change.type === 'delete') {
      await this.#remove(path)
      this.#touched.push({ letter: 'D', path: change.path })
    } else {
      const { text, mode } = await this.#read(path)
      const content = applySections(text, change.sections, path)
      const { moveTo } = change
      if (moveTo === undefined) {
        await this.#put(path, content)
      } else {
        await this.#remove(path)
        await this.#put(this.#inside(moveTo), content, mode)
      }
      this.#touched.push({ letter: 'M', path: moveTo ?? change.path })
    }
  }

  /** @throws ToolError for a path outside the workspace. Links may lead out of it: bash could follow them as well. */
  #inside(path: string): string {
    const full = resolve(this.#folder, path)
    if (!liesIn(full, this.#workspace)) {
      throw new ToolError(`${path} is outside the workspace; use a path relative to it.`)
    }
    return full
  }

  async #read(path: string): Promise<{ text: string; mode: number | undefined }> {
    const target = await this.#targetOf(path)
    const write = this.#writes.get(target)
    if (write?.content !== undefined) return { text: write.content, mode: write.mode }
    const before = write ? undefined : await existing(target)
    if (!before) throw new ToolError(`Failed to read ${path}: there is no such file`)
    const bytes = await readTextBytes(target, path, MAX_FILE_BYTES)
    return { text: decoded(bytes, path), mode: before.mode }
  }

  async #put(path: string, content: string, mode?: number): Promise<void> {
    const target = await this.#targetOf(path)
    const write = this.#writes.get(target)
    const before = write ? write.before : await existing(target)
    const isFile = before?.isFile() ?? false
    // An earlier change of this patch may have removed or replaced it.
    if (before && !isFile && !write)
      throw new ToolError(`${path} exists and is not a regular file.`)
    const modeBefore = isFile ? before?.mode : undefined
    this.#writes.set(target, { target, before, content, mode: mode ?? modeBefore })
  }

  /** Removes a link itself, not its target. */
  async #remove(path: string): Promise<void> {
    const target = await entryOf(path)
    const write = this.#writes.get(target)
    const before = write ? write.before : await fs.lstat(target).catch(() => undefined)
    if (write ? write.content === undefined : !before) {
      throw new ToolError(`Failed to delete ${path}: there is no such file`)
    }
    if (before?.isDirectory()) throw new ToolError(`${path} is a folder; remove it with bash.`)
    this.#writes.set(target, { target, before, content: undefined, mode: undefined })
  }

  async #targetOf(path: string): Promise<string> {
    const entry = await entryOf(path)
    // A link that the patch has removed is not followed.
    return this.#writes.has(entry) ? entry : followLinks(path)
  }
}

/** The path itself, even if it is a link, with its folder resolved. */
async function entryOf(path: string): Promise<string> {
  const folder = await fs.realpath(dirname(path)).catch(() => dirname(path))
  return join(folder, basename(path))
}

/** Strict: bytes that cannot be decoded would change on the write. */
function decoded(bytes: Buffer, path: string): string {
  const text = exactText(bytes)
  if (text === undefined) throw new ToolError(`${path} is not UTF-8 text; use bash to change it.`)
  return text
}
