import { readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { processIdentityOf, stateOf } from '../../../storage/process-identity.ts'
import { type Check, ok, warning } from '../finding.ts'

/** Lists the processes that use the data folder now. */
export const locksCheck: Check = {
  name: 'locks',
  look({ config: { dataDir } }) {
    const locks = lockFiles(dataDir).map((path) => ({ name: nameOf(path), ...holderOf(path) }))
    const unseen = locks.filter(({ state }) => state === 'unseen')
    if (unseen.length > 0) {
      return warning(
        `${list(unseen)}: by a process that cannot be seen from here, of another machine or container.`,
        'Use the data folder from one of them at a time.',
      )
    }
    const alive = locks.filter(({ state }) => state === 'alive')
    if (alive.length > 0) return ok(`In use: ${list(alive)}.`)
    const stale = locks.length > 0 ? ' What a dead process has left is taken over when needed.' : ''
    return ok(`Nobody else works with the data folder.${stale}`)
  },
}

interface Lock {
  name: string
  pid?: number
}

const list = (locks: readonly Lock[]) =>
  locks.map(({ name, pid }) => (pid ? `${name} (process ${pid})` : name)).join(', ')

function lockFiles(dataDir: string): string[] {
  return [dataDir, join(dataDir, 'sessions')].flatMap((folder) =>
    namesIn(folder)
      .filter((name) => name.endsWith('.lock'))
      .map((name) => join(folder, name)),
  )
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return [] // Not there yet.
  }
}

function nameOf(path: string): string {
  const name = basename(path, '.lock')
  return name === 'codex-tokens.json' ? 'the sign-in' : `session ${name.replace(/\.jsonl$/, '')}`
}

function holderOf(path: string): { state?: ReturnType<typeof stateOf>; pid?: number } {
  try {
    const holder = processIdentityOf(JSON.parse(readFileSync(path, 'utf8')))
    return holder ? { state: stateOf(holder), pid: holder.pid } : {}
  } catch {
    return {} // The lock file is just being written or removed.
  }
}
