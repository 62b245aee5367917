import type { RunLimits } from '../../shared/protocol.ts'
import { LARGEST_CONTEXT } from './usage-meter.ts'

/** What a run may take from the service. Bytes are those of bodies. */
export interface Budget {
  requests: number
  /** Requests under way in the same moment. */
  atOnce: number
  bytesUp: number
  bytesDown: number
  /** Read and written, as the service counts them; where its figures do not come, as estimated from the bytes. */
  tokens: number
  /** Wall time, from the first capability on. */
  ms: number
}

const MB = 1024 * 1024

/**
 * Far above what a run within its limits comes to, which the agent keeps itself: this is for an agent
 * that was taken over.
 */
export function budgetOf({ maxTurns, runMs }: Pick<RunLimits, 'maxTurns' | 'runMs'>): Budget {
  // The conversation may have to be shortened a few times beside its turns.
  const answers = maxTurns + 20
  return {
    // Five retries each, and what it takes to renew a token, drop reasoning or shorten a history.
    requests: answers * 10,
    // The agent has one; another may still be on its way out.
    atOnce: 4,
    // With images; without, a request has less than 4 MB.
    bytesUp: answers * 32 * MB,
    bytesDown: answers * 16 * MB,
    tokens: answers * LARGEST_CONTEXT,
    // The host stops an agent that is overdue before that.
    ms: runMs + 60_000,
  }
}

/** What one run has asked and got, held against its budget. What it says itself may be forged. */
export class RunUsage {
  readonly runId: string
  readonly budget: Budget
  requests = 0
  /** Of those, the ones that we refused. */
  refusals = 0
  /** Of those, the ones that the service began to answer. */
  answers = 0
  underWay = 0
  bytesUp = 0
  bytesDown = 0
  tokens = 0
  readonly #startedAt = performance.now()

  constructor(runId: string, budget: Budget) {
    this.runId = runId
    this.budget = budget
  }

  get msLeft(): number {
    return Math.max(0, this.#startedAt + this.budget.ms - performance.now())
  }

  /** Why there can be no more, or not now; a whole sentence. */
  get exceeded(): string | undefined {
    const { budget } = this
    const of = (what: string) => `This run has used up the ${what} that it may have.`
    if (this.requests > budget.requests) return of(`${budget.requests} requests`)
    if (this.underWay > budget.atOnce) return `This run has ${budget.atOnce} requests under way.`
    if (this.bytesUp > budget.bytesUp) return of(`${budget.bytesUp / MB} MB of requests`)
    if (this.bytesDown > budget.bytesDown) return of(`${budget.bytesDown / MB} MB of answers`)
    if (this.tokens > budget.tokens) return of(`${budget.tokens} tokens`)
    return undefined
  }
}
