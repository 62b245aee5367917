import type { Stats } from 'node:fs'
import { constants, promises as fs } from 'node:fs'
import { messageOf } from '../../shared/errors.ts'
import { readFileBytes } from './read-file-bytes.ts'
import { ToolError } from './tool.ts'

/** Whether a new file of the same name would break hard links, or belong to another user or group. */
export function isMoreThanContent({ nlink, uid, gid }: Stats): boolean {
  return nlink > 1 || uid !== process.geteuid?.() || gid !== process.getegid?.()
}

/** A rename needs no right over the file itself, and root has all rights: only the mode tells the intention. */
export async function refuseReadOnly(target: string, mode: number): Promise<void> {
  if ((mode & 0o222) === 0) {
    const octal = (mode & 0o777).toString(8).padStart(4, '0')
    throw new Error(
      `${target} is read-only (mode ${octal}). If it is to be changed, chmod it first.`,
    )
  }
  await fs.access(target, constants.W_OK)
}

/** A write failed in the middle and could not be undone. */
export class HalfDoneError extends ToolError {}

/** The old content stays in memory during the write. */
const MAX_BYTES = 32 * 1024 * 1024

/** A file that is overwritten without a rename, with its old content for `restore`. */
export class InPlace {
  readonly #target: string
  readonly #old: Buffer

  private constructor(target: string, old: Buffer) {
    this.#target = target
    this.#old = old
  }

  static async open(target: string): Promise<InPlace> {
    return new InPlace(target, await readFileBytes(target, target, MAX_BYTES))
  }

  /** When it rejects, the file is unchanged, except with a HalfDoneError. */
  async write(content: string, mode: number | undefined): Promise<void> {
    try {
      await overwrite(this.#target, Buffer.from(content), mode)
    } catch (error) {
      await this.restore().catch((failure) => {
        const what = `${messageOf(error)}; and ${this.#target} could not be put back`
        throw new HalfDoneError(`${what} (${messageOf(failure)})`)
      })
      throw error
    }
  }

  async restore(): Promise<void> {
    await overwrite(this.#target, this.#old)
  }
}

/** Truncates last: until then the file keeps its room on the disk, so the old content can be written again. */
async function overwrite(target: string, content: Buffer, mode?: number): Promise<void> {
  const file = await fs.open(target, 'r+')
  try {
    const before = await file.stat()
    await file.writeFile(content)
    await file.truncate(content.length)
    // Only the owner may chmod, so skip it where the mode is right already.
    if (mode !== undefined && (mode ^ before.mode) & 0o777) await file.chmod(mode & 0o777)
  } finally {
    await file.close()
  }
}
