import { createHash, randomBytes } from 'node:crypto'
import { closeSync, constants, openSync, unlinkSync, writeSync } from 'node:fs'
import type { MountSource } from '../workspace/mount-source.ts'
import { NO_LINKS, pathIn, readRegular } from '../workspace/open-within.ts'
import type { HeldMount } from './held-mounts.ts'

/** Proofs, where inode numbers mean nothing, that a container has the files that the host holds open. */
export interface MountProofs {
  /** The name of the proof file, present in each folder until `remove`. */
  file: string
  /** The expected answer by target. */
  answers: ReadonlyMap<string, string>
  /** Never throws: a tool may have removed the file first. */
  remove(): void
}

/** The container has the same bound. */
const MAX_FILE_BYTES = 16 * 1024 * 1024

/**
 * Writes a new file of random text into each folder; for a mounted file, the answer is its digest.
 * @throws the system's error when a file cannot be written or read
 */
export function makeMountProofs(mounts: readonly HeldMount[]): MountProofs {
  const file = `.codexbox-${randomBytes(8).toString('hex')}`
  const made: string[] = []
  const remove = () => made.splice(0).forEach(removeFile)
  try {
    const answers = new Map(
      mounts.flatMap(({ target, source }): [string, string][] => {
        if (!source) return []
        if (source.kind !== 'folder') return [[target, digestOf(source)]]
        const text = randomBytes(16).toString('hex')
        const path = pathOf(source, file)
        writeNew(path, text)
        made.push(path)
        return [[target, text]]
      }),
    )
    return { file, answers, remove }
  } catch (error) {
    remove()
    throw error
  }
}

/** On Linux the path of the descriptor. */
function pathOf({ descriptor, path }: MountSource, name: string): string {
  return descriptor === undefined ? `${path}/${name}` : pathIn({ descriptor, path }, name)
}

/** Never overwrites a file and never follows a link. */
function writeNew(path: string, text: string): void {
  const { O_WRONLY, O_CREAT, O_EXCL } = constants
  const descriptor = openSync(path, O_WRONLY | O_CREAT | O_EXCL | NO_LINKS, 0o644)
  try {
    writeSync(descriptor, text)
  } finally {
    closeSync(descriptor)
  }
}

function removeFile(path: string): void {
  try {
    unlinkSync(path)
  } catch {
    // The file or its folder is gone.
  }
}

/** Reads the held descriptor: the path may lead elsewhere by now. */
function digestOf({ descriptor, path }: MountSource): string {
  const isReadable = descriptor !== undefined && process.platform !== 'linux'
  const readable = isReadable
    ? descriptor
    : openSync(descriptor === undefined ? path : `/proc/self/fd/${descriptor}`, 'r')
  try {
    return createHash('sha256')
      .update(readRegular(readable, MAX_FILE_BYTES) ?? '')
      .digest('hex')
  } finally {
    if (!isReadable) closeSync(readable)
  }
}
