import { type FailureFacts, headerOf } from './failure-facts.ts'
import { type Condition, type FailureRow, failureTable } from './failure-table.ts'

/** The first row of the table that matches the failure. */
export function rowOf(facts: FailureFacts): FailureRow {
  // The last row for each `where` has no condition.
  return failureTable.find((row) => fits(row, facts)) as FailureRow
}

function fits({ where, when }: FailureRow, facts: FailureFacts): boolean {
  return where.includes(facts.where) && holds(when, facts)
}

function holds(when: Condition, facts: FailureFacts): boolean {
  const { status, names, text, headers } = facts
  const statuses: readonly unknown[] | undefined = when.status
  return (
    (status === undefined ||
      !statuses ||
      statuses.includes(status) ||
      statuses.includes(`${Math.floor(status / 100)}xx`)) &&
    (!when.named || when.named.some((name) => names.includes(name))) &&
    (!when.text || when.text.test(text)) &&
    (!when.param || when.param.test(facts.param ?? '')) &&
    (!when.plan || when.plan.test(facts.plan ?? '')) &&
    (!when.header || when.header[1].test(headerOf(headers, when.header[0]) ?? '')) &&
    (!when.isPage || facts.isPage) &&
    (!when.hasWait || facts.waitMs !== undefined) &&
    (!when.hasLimitName || facts.limitName !== undefined)
  )
}
