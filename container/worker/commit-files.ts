import { randomUUID } from 'node:crypto'
import { promises as fs } from 'node:fs'
import { dirname, join } from 'node:path'
import { messageOf, systemCodeOf } from '../../shared/errors.ts'
import type { existing } from './follow-links.ts'
import { HalfDoneError, InPlace, isMoreThanContent, refuseReadOnly } from './write-in-place.ts'

/** The new state of a path. */
export interface FileWrite {
  /** An absolute path that is no link: see `followLinks`. */
  target: string
  /** The stats of the current file. */
  before: Awaited<ReturnType<typeof existing>>
  /** Undefined: the file is removed. */
  content: string | undefined
  /** Undefined: the default of a new file. */
  mode: number | undefined
}

/**
 * Writes all of them or none. Missing folders are made. New contents are written beside their targets
 * first, where a full disk shows, and then renamed: a reader, also after a crash, finds at each path
 * the old file or the new one. A file that cannot be replaced, or would lose a hard link or its owner
 * by a rename, is written in place.
 * @throws HalfDoneError when a step could not be undone; any other error means that nothing has changed.
 */
export async function commitFiles(writes: readonly FileWrite[]): Promise<void> {
  const steps = writes.map((write) => new Step(write))
  let done = 0
  try {
    // A single rename needs no undo.
    for (const step of steps) await step.prepare(steps.length > 1)
    for (const step of steps) {
      await step.commit()
      done++
    }
  } catch (error) {
    const failures = await undo(steps.slice(0, done))
    for (const step of steps) await step.removeFolders()
    if (failures.length === 0) throw error
    throw new HalfDoneError(
      `${messageOf(error)}; and these files could not be put back: ${failures.join(', ')}`,
    )
  } finally {
    for (const step of steps) await step.cleanUp()
  }
}

/** Returns the steps that could not be undone. */
async function undo(steps: readonly Step[]): Promise<string[]> {
  const failures: string[] = []
  for (const step of [...steps].reverse()) {
    await step.undo().catch((error) => failures.push(`${step.target} (${messageOf(error)})`))
  }
  return failures
}

class Step {
  readonly #write: FileWrite
  /** Path of the new content before the rename. */
  readonly #staged: string
  /** Path of the old file, for `undo`. */
  readonly #backup: string
  #firstFolderMade: string | undefined
  /** Set when the file is not replaced by a rename. */
  #inPlace: InPlace | undefined

  constructor(write: FileWrite) {
    this.#write = write
    this.#staged = besideFile(write.target)
    this.#backup = besideFile(write.target)
  }

  get target(): string {
    return this.#write.target
  }

  async prepare(canBeUndone: boolean): Promise<void> {
    const { target, before, content, mode } = this.#write
    this.#firstFolderMade = await fs.mkdir(dirname(target), { recursive: true })
    if (content !== undefined && before?.isFile()) {
      await refuseReadOnly(target, before.mode)
      if (isMoreThanContent(before)) this.#inPlace = await InPlace.open(target)
    }
    if (this.#inPlace) return
    if (content !== undefined) {
      await this.#orInPlace(() => stage(this.#staged, content, mode))
    }
    if (before && canBeUndone && !this.#inPlace) await backUp(target, this.#backup)
  }

  async commit(): Promise<void> {
    const { target, content, mode } = this.#write
    if (content === undefined) return fs.rm(target)
    if (!this.#inPlace) await this.#orInPlace(() => fs.rename(this.#staged, target))
    await this.#inPlace?.write(content, mode)
  }

  /** A rename needs rights over the folder, and no mount at the file; a write in place needs neither. */
  async #orInPlace(replace: () => Promise<void>): Promise<void> {
    const { target, before } = this.#write
    try {
      await replace()
    } catch (error) {
      if (!before?.isFile() || !NOT_REPLACED.includes(systemCodeOf(error) ?? '')) throw error
      this.#inPlace = await InPlace.open(target)
    }
  }

  async undo(): Promise<void> {
    const { target, before } = this.#write
    if (this.#inPlace) await this.#inPlace.restore()
    else if (before) await fs.rename(this.#backup, target)
    else await fs.rm(target, { force: true })
  }

  /** Removes the folders that `prepare` made, if they are empty. */
  async removeFolders(): Promise<void> {
    await this.cleanUp()
    const first = this.#firstFolderMade
    if (first === undefined) return
    for (let folder = dirname(this.target); ; folder = dirname(folder)) {
      try {
        await fs.rmdir(folder)
      } catch {
        return // Another process has put a file into it.
      }
      if (folder === first) return
    }
  }

  async cleanUp(): Promise<void> {
    // A temporary file that cannot be removed does not make the write fail.
    for (const path of [this.#staged, this.#backup])
      await fs.rm(path, { force: true }).catch(() => {})
  }
}

/** A rename fails so in a folder without write access, in one of mode 1777, and for a mount at the file. */
const NOT_REPLACED = ['EACCES', 'EPERM', 'EROFS', 'EBUSY']

async function stage(path: string, content: string, mode: number | undefined): Promise<void> {
  const file = await fs.open(path, 'wx', mode === undefined ? 0o666 : mode & 0o777)
  try {
    await file.writeFile(content)
    if (mode !== undefined) await file.chmod(mode & 0o777)
  } finally {
    await file.close()
  }
}

/** Not every file system has hard links. */
async function backUp(target: string, backup: string): Promise<void> {
  await fs.link(target, backup).catch(() => fs.copyFile(target, backup))
}

/** A random name: a longer form of the file's own name may be too long. */
function besideFile(target: string): string {
  return join(dirname(target), `.${randomUUID()}.tmp`)
}
