import { accessSync, constants, type Stats, statfsSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { type Check, type Finding, ok, problem, warning } from '../finding.ts'

/** A session is a few megabytes; a sign-in that cannot be written back is lost. */
const MIN_FREE_BYTES = 50 * 1024 * 1024

export const dataFolderCheck: Check = {
  name: 'data folder',
  look({ config: { dataDir } }) {
    const stats = statSync(dataDir, { throwIfNoEntry: false })
    if (!stats) return missingFolder(dataDir)
    if (!stats.isDirectory()) {
      return problem(`${dataDir} is no folder.`, 'Name another with CODEX_DATA_DIR.')
    }
    return (
      permissionsOf(dataDir, stats, 0o700) ??
      permissionsOfTokens(join(dataDir, 'codex-tokens.json')) ??
      freeSpace(dataDir) ??
      ok(`${dataDir}, for this user only.`)
    )
  },
}

function missingFolder(dataDir: string): Finding {
  const parent = closestExisting(dirname(dataDir))
  return isWritable(parent)
    ? ok(`${dataDir} is not there yet; it is made when it is needed.`)
    : problem(`${dataDir} cannot be made in ${parent}.`, 'Name another with CODEX_DATA_DIR.')
}

function permissionsOfTokens(file: string): Finding | undefined {
  const stats = statSync(file, { throwIfNoEntry: false })
  return stats && permissionsOf(file, stats, 0o600)
}

/** Undefined on Windows, which has no such permissions. */
function permissionsOf(path: string, stats: Stats, mode: number): Finding | undefined {
  const uid = process.getuid?.()
  if (uid === undefined) return undefined
  if (stats.uid !== uid) {
    return problem(
      `${path} belongs to user ${stats.uid}, and this is user ${uid}.`,
      `chown ${uid} ${path}, or run codexbox as its owner.`,
    )
  }
  if (!isWritable(path)) return problem(`${path} cannot be written.`, `chmod u+rw ${path}`)
  if ((stats.mode & 0o077) === 0) return undefined
  return warning(
    `${path} is open to other users (mode ${(stats.mode & 0o777).toString(8)}).`,
    `chmod ${mode.toString(8)} ${path}`,
  )
}

function freeSpace(folder: string): Finding | undefined {
  const { bavail, bsize } = statfsSync(folder)
  const bytes = bavail * bsize
  if (bytes >= MIN_FREE_BYTES) return undefined
  return problem(
    `There are only ${Math.floor(bytes / 1024 / 1024)} MB left for ${folder}; a renewed sign-in that cannot be written is lost.`,
    'Make room, or move it with CODEX_DATA_DIR.',
  )
}

function closestExisting(folder: string): string {
  const parent = dirname(folder)
  return parent === folder || statSync(folder, { throwIfNoEntry: false })
    ? folder
    : closestExisting(parent)
}

function isWritable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK | constants.W_OK)
    return true
  } catch {
    return false // Any error means not writable.
  }
}
