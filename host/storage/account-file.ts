import { join } from 'node:path'
import { z } from 'zod'
import { withFileLock } from './file-lock.ts'
import { readPrivateFile, securePrivateFolder } from './private-file.ts'
import { removeTemporaries, saveFile } from './save-file.ts'

/** A cache file of service data for one account, so that the next start has it at once. */
export interface AccountFile<T> {
  /** The value stored for `owner`; undefined without a usable file. */
  read(owner: string): T | undefined
  /** Replaces the stored value. Never rejects: the service can be asked again. */
  write(owner: string, value: T): Promise<void>
}

/** The file `name` in the data folder: private to the user, stamped with the account. */
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
        // Incomplete, of another version, or not readable: the same as no file.
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

/** Short: the holder of the lock writes the same data. */
const LOCK_TIMEOUT_MS = 1000
