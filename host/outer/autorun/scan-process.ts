import { readLines } from '../../../shared/read-lines.ts'
import type { Findings, States } from './findings.ts'
import { type OuterRepository, outerRepository } from './outer-repository.ts'
import { reportOf, shownName } from './report.ts'
import { scan } from './scan.ts'
import { MAX_LINE_BYTES, type ScanOrder, type ScanReport } from './scan-protocol.ts'
import { readUserConfig } from './user-config.ts'

// A process of its own, which looks at workspaces and can be ended at any time: what lies there is not to be trusted,
// and a look takes as long as it takes. Two lines for each look, an order and the states to compare with; two lines
// for its answer, the report and the new states. It ends with its input.

/** More make no difference to who reads it. */
const MAX_HARD_LINKS = 20

/** What a look that was cut short has not come to is taken to be as it was. */
const statesAfter = (known: States | null, { isCutShort, states }: Findings): States =>
  isCutShort ? { ...known, ...states } : states

const OUTER = 'repository outside'

/** As it was at the first look, before any tool: outside, nothing is looked at where tools lead. */
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
