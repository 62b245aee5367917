import { createHash, randomBytes } from 'node:crypto'
import { closeSync, constants, openSync, unlinkSync, writeSync } from 'node:fs'
import type { MountSource } from '../workspace/mount-source.ts'
import { pathIn, readRegular } from '../workspace/open-within.ts'
import type { HeldMount } from './held-mounts.ts'

/** What shows, where the numbers of files mean nothing, that a container has what the host holds. */
export interface MountProofs {
  /** The name of a file that is in each of the folders until `remove`. */
  file: string
  /** By target: what the container has to answer. */
  answers: ReadonlyMap<string, string>
  remove(): void
}

/** As the container bounds it. */
const MAX_FILE_BYTES = 16 * 1024 * 1024

/**
 * Writes a new file of random text into each folder, by its descriptor; of a file, the answer is its digest.
 * @throws the system's error where that cannot be done
 */
export function makeMountProofs(mounts: readonly HeldMount[]): MountProofs {
  const file = `.codexbox-${randomBytes(8).toString('hex')}`
  const made: string[] = []
  const remove = () => {
    for (const path of made.splice(0)) unlinkSync(path)
  }
  try {
    const answers = new Map(
      mounts.flatMap(({ target, source }): [string, string][] => {
        if (!source) return []
        if (source.kind !== 'folder') return [[target, digestOf(source)]]
        const path = pathOf(source, file)
        const text = randomBytes(16).toString('hex')
        // Never one that is there, nor what a link of that name leads to.
        const descriptor = openSync(path, 'wx', 0o644)
        made.push(path)
        try {
          writeSync(descriptor, text)
        } finally {
          closeSync(descriptor)
        }
        return [[target, text]]
      }),
    )
    return { file, answers, remove }
  } catch (error) {
    remove()
    throw error
  }
}

function pathOf({ descriptor, path }: MountSource, name: string): string {
  return descriptor === undefined ? `${path}/${name}` : pathIn({ descriptor, path }, name)
}

function digestOf({ descriptor, path }: MountSource): string {
  const opened =
    process.platform === 'linux' && descriptor !== undefined ? `/proc/self/fd/${descriptor}` : path
  const readable = openSync(opened, constants.O_RDONLY)
  try {
    return createHash('sha256')
      .update(readRegular(readable, MAX_FILE_BYTES) ?? '')
      .digest('hex')
  } finally {
    closeSync(readable)
  }
}
