import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** The process that is in the middle of a renewal, by the intent it has left on the disk. */
export function renewalPid(dataDir: string): number {
  const name = readdirSync(dataDir).find((each) => each.endsWith('.renewal'))
  if (!name) throw new Error('No renewal is under way')
  const [intent = ''] = readFileSync(join(dataDir, name), 'utf8').split('\n')
  return (JSON.parse(intent) as { process: { pid: number } }).process.pid
}
