import { join } from 'node:path'
import { z } from 'zod'
import { withFileLock } from './file-lock.ts'
import { readPrivateFile, securePrivateFolder } from './private-file.ts'
import { removeTemporaries, saveFile } from './save-file.ts'

/** Something of the service's that is kept for one account, to have it at once the next time. */
export interface AccountFile<T> {
  /** What is kept for `owner`. What cannot be used is none. */
  read(owner: string): T | undefined
  /** Keeps `value` in the place of whatever is there. A failure is nothing: it can be asked again. */
  write(owner: string, value: T): Promise<void>
}

/** Kept in `name` in the data folder, only its owner's, stamped with the account. */
export function accountFile<T>(
  dataDir: string,
  name: string,
  schema: z.ZodType<T>,
): AccountFile<T> {
  const path = join(dataDir, name)
  const Content = z.object({ version: z.literal(1), owner: z.string(), value: schema })

  return {
    read: (owner) => {
      try {
        const file = readPrivateFile(path, { repair: false })
        if (file.status !== 'read') return undefined
        const content = Content.parse(JSON.parse(file.text))
        return content.owner === owner ? content.value : undefined
      } catch {
        // Torn, of another version, or not readable: as good as none.
        return undefined
      }
    },
    write: async (owner, value) => {
      try {
        securePrivateFolder(dataDir)
        const text = `${JSON.stringify({ version: 1, owner, value })}\n`
        await withFileLock(
          `${path}.lock`,
          async (lock) => {
            await removeTemporaries(path)
            await saveFile(path, text, lock)
          },
          { timeoutMs: LOCK_TIMEOUT_MS, code: 'internal' },
        )
      } catch {
        // A full or a read-only disk: the next start asks the service.
      }
    },
  }
}

/** Who has it writes the same. */
const LOCK_TIMEOUT_MS = 1000
