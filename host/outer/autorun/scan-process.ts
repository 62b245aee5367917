import { readLines } from '../../../shared/read-lines.ts'
import type { Findings, States } from './findings.ts'
import { type OuterRepository, outerRepository } from './outer-repository.ts'
import { reportOf, shownName } from './report.ts'
import { scan } from './scan.ts'
import { MAX_LINE_BYTES, type ScanOrder, type ScanReport } from './scan-protocol.ts'
import { readUserConfig } from './user-config.ts'

// The scan process. The host can kill it at any time: workspaces are untrusted, and a scan may hang in a file
// system. Each scan takes two lines of input, the order and the states to compare with, and writes two lines, the
// report and the new states. The process exits at the end of its input.

/** More names would not help the user. */
const MAX_HARD_LINKS = 20

/** Files that an incomplete scan did not reach keep their earlier state. */
const statesAfter = (known: States | null, { isCutShort, states }: Findings): States =>
  isCutShort ? { ...known, ...states } : states

const OUTER = 'repository outside'

/** The result of the first scan, before any tool ran: tools must not choose which outside paths are read. */
function outerOf(root: string, known: States | null): OuterRepository | undefined {
  if (!known) return outerRepository(root)
  return JSON.parse(known[OUTER] ?? 'null') ?? undefined
}

async function main(): Promise<void> {
  const lines = readLines(process.stdin, MAX_LINE_BYTES)
  for (let order = await lines.next(); !order.done; order = await lines.next()) {
    const before = await lines.next()
    if (before.done) break
    const { root, onlyNews }: ScanOrder = JSON.parse(order.value)
    const known: States | null = JSON.parse(before.value)
    const outer = outerOf(root, known)
    const findings = scan(root, { user: readUserConfig(process.env, root, outer) })
    const answer: ScanReport = {
      report: reportOf(known ?? findings.states, findings, { onlyNews }),
      hardLinks: [...findings.hardLinks].slice(0, MAX_HARD_LINKS).map(shownName),
    }
    const states = { ...statesAfter(known, findings), [OUTER]: JSON.stringify(outer ?? null) }
    process.stdout.write(`${JSON.stringify(answer)}\n${JSON.stringify(states)}\n`)
  }
}

void main()
