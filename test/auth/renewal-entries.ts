import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

export interface RenewalEntry {
  pid: number
  /** Of the refresh token that is spent. */
  sha256: string
  isAnswered: boolean
}

/** What the renewals under way, and those that broke off, have on the disk. */
export function renewalEntries(dataDir: string): RenewalEntry[] {
  const names = readdirSync(dataDir).filter((name) => name.endsWith('.renewal'))
  return names.flatMap((name) => {
    try {
      const [intent = '', outcome = ''] = readFileSync(join(dataDir, name), 'utf8').split('\n')
      const { process, refresh_token_sha256: sha256 } = JSON.parse(intent)
      return [{ pid: Number(process.pid), sha256: String(sha256), isAnswered: isWhole(outcome) }]
    } catch {
      return [] // Not yet written, or removed already.
    }
  })
}

/** The process that is in the middle of a renewal. */
export function renewalPid(dataDir: string): number {
  const [entry] = renewalEntries(dataDir)
  if (!entry) throw new Error('No renewal is under way')
  return entry.pid
}

function isWhole(outcome: string): boolean {
  try {
    JSON.parse(outcome)
    return true
  } catch {
    return false
  }
}
