import { randomBytes, timingSafeEqual } from 'node:crypto'
import type { Refusal } from './refusal.ts'
import { type Budget, RunUsage } from './run-budget.ts'

/** The rights behind a capability token. */
export interface Capability {
  readonly usage: RunUsage
  /** True until it is revoked. */
  isValid: boolean
  /** Each entry ends one open request, with a reason. */
  readonly openRequests: Set<(why: Refusal) => void>
}

/** How long an open request may go on after its capability was revoked. */
const GRACE_MS = 1000

/** The live capabilities of one gateway. */
export class Capabilities {
  readonly #budget: Budget
  readonly #capabilities = new Map<
    string,
    Capability & { authorization: Buffer; expiry: NodeJS.Timeout }
  >()
  readonly #usages = new Map<string, RunUsage>()

  constructor(budget: Budget) {
    this.#budget = budget
  }

  /** A new capability. All capabilities of a run share its budget. */
  add(runId: string): string {
    const usage = this.usageOf(runId) ?? new RunUsage(runId, this.#budget)
    this.#usages.set(runId, usage)
    const capability = randomBytes(32).toString('base64url')
    const expiry = setTimeout(() => this.revoke(capability, 0), usage.msLeft).unref()
    const authorization = Buffer.from(`Bearer ${capability}`)
    const entry = { usage, isValid: true, openRequests: new Set<(why: Refusal) => void>() }
    this.#capabilities.set(capability, Object.assign(entry, { authorization, expiry }))
    return capability
  }

  /** Allows no more requests; an open one still has `graceMs`. */
  revoke(capability: string, graceMs = GRACE_MS): void {
    const entry = this.#capabilities.get(capability)
    if (!entry) return
    this.#capabilities.delete(capability)
    entry.isValid = false
    clearTimeout(entry.expiry)
    if (entry.openRequests.size === 0) return
    setTimeout(() => {
      for (const end of entry.openRequests) end(capabilityRefused)
    }, graceMs).unref()
  }

  revokeAll(): void {
    for (const capability of this.#capabilities.keys()) this.revoke(capability, 0)
  }

  /** `authorization` is the header of that name. */
  find(authorization = ''): Capability | undefined {
    const received = Buffer.from(authorization)
    let match: Capability | undefined
    // Compares all, each in constant time, against timing attacks.
    for (const entry of this.#capabilities.values()) {
      const expected = entry.authorization
      if (received.length === expected.length && timingSafeEqual(received, expected)) match = entry
    }
    return match
  }

  usageOf(runId: string): RunUsage | undefined {
    return this.#usages.get(runId)
  }
}

export const capabilityRefused: Refusal = {
  status: 403,
  code: 'capability_refused',
  message: 'This capability is unknown, or was revoked.',
}
