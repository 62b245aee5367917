import type { RunLimits } from '../../shared/protocol.ts'
import { LARGEST_CONTEXT } from './usage-meter.ts'

/** The limits of a run at the service. Bytes count bodies. */
export interface Budget {
  requests: number
  /** Concurrent requests. */
  concurrent: number
  bytesUp: number
  bytesDown: number
  /** Input and output, as the service counts them; without its figures, as estimated from the bytes. */
  tokens: number
  /** Wall time since the first capability. */
  ms: number
}

const MB = 1024 * 1024

/**
 * Far above the usage of a run within its limits, which the agent itself enforces: the budget stops a
 * compromised agent.
 */
export function budgetOf({ maxTurns, runMs }: Pick<RunLimits, 'maxTurns' | 'runMs'>): Budget {
  // Compactions come on top of the turns.
  const answers = maxTurns + 20
  return {
    // Five retries each, and the requests to renew a token, drop reasoning or compact a history.
    requests: answers * 10,
    // The agent has one; a previous one may still be ending.
    concurrent: 4,
    // With images; without them a request has less than 4 MB.
    bytesUp: answers * 32 * MB,
    bytesDown: answers * 16 * MB,
    tokens: answers * LARGEST_CONTEXT,
    // The host stops an overdue agent earlier.
    ms: runMs + 60_000,
  }
}

/** The usage of one run, as the host counts it, against its budget. The run's own figures may be forged. */
export class RunUsage {
  readonly runId: string
  readonly budget: Budget
  requests = 0
  /** Requests that the gateway refused. */
  refusals = 0
  /** Requests that the service began to answer. */
  answers = 0
  openRequests = 0
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

  /** Why no further request is allowed, for good or at the moment; a complete sentence. */
  get exceeded(): string | undefined {
    const { budget } = this
    const of = (what: string) => `This run has used up the ${what} that it may have.`
    if (this.requests > budget.requests) return of(`${budget.requests} requests`)
    if (this.openRequests > budget.concurrent)
      return `This run has ${budget.concurrent} requests under way.`
    if (this.bytesUp > budget.bytesUp) return of(`${budget.bytesUp / MB} MB of requests`)
    if (this.bytesDown > budget.bytesDown) return of(`${budget.bytesDown / MB} MB of answers`)
    if (this.tokens > budget.tokens) return of(`${budget.tokens} tokens`)
    return undefined
  }
}
