import { CodexboxError } from '../../../shared/errors.ts'
import { retryAfterMs } from '../../../shared/retry-after.ts'
import { NoAnswerError } from '../../net/no-answer-error.ts'
import { type Sleep, sleepFor } from '../sleep.ts'
import { issuerUrl, type TokenReply } from '../token-endpoint.ts'
import type { Tokens } from '../tokens.ts'
import { codeAlone } from './authorization-response.ts'
import { exchangeCode } from './code-exchange.ts'
import {
  type DeviceCode,
  type DeviceGrant,
  postDeviceCode,
  postDevicePoll,
  readDeviceCode,
  readDevicePoll,
} from './device-code.ts'

export interface DeviceSignInOptions {
  issuer: URL
  /** Shows a line to the user. */
  say: (line: string) => void
  save: (tokens: Tokens) => Promise<void>
  signal?: AbortSignal | undefined
  now?: (() => number) | undefined
  pause?: Sleep | undefined
  timeoutMs?: number | undefined
}

/**
 * Signs in with a code that the user types in a browser on any device. A transient failure (the network,
 * a service in trouble) only costs time, until the code expires.
 * @throws CodexboxError `sign-in-failed`; the errors of `save`.
 */
export async function signInWithDevice(options: DeviceSignInOptions): Promise<Tokens> {
  const { issuer, say, save, signal, timeoutMs, now = Date.now } = options
  const endsAt = now() + LIFETIME_MS
  try {
    const request = { issuer, signal, timeoutMs }
    const budget = { ...options, endsAt, now, late: 'Nobody entered the code in time.' }
    const device = await retryUntilFound(() => postDeviceCode(request), readDeviceCode, {
      ...budget,
      // The user sees nothing before the code, so the wait is short.
      endsAt: now() + FIRST_CODE_MS,
      intervalMs: 2000,
      late: 'The service gave no code for the sign-in.',
    })
    say(howTo(issuer, device))
    const grant = await pollUntilEntered(device, request, budget)
    const tokens = await exchangeCode(
      {
        issuer,
        params: codeAlone(grant.code, issuer),
        redirectUri: issuerUrl(issuer, '/deviceauth/callback').href,
        verifier: grant.verifier,
        signal,
        timeoutMs,
        retryAfterMs: EXCHANGE_RETRY_MS,
        pause: options.pause,
      },
      now,
    )
    await save(tokens)
    return tokens
  } catch (error) {
    if (signal?.aborted) throw failed('The sign-in was stopped. Nothing was changed.')
    throw error
  }
}

/** How long a code is valid. */
const LIFETIME_MS = 15 * 60_000
const FIRST_CODE_MS = 30_000
/** The user has entered the code, so the retries last a minute, for the network to come back. */
const EXCHANGE_RETRY_MS = [1000, 2000, 4000, 8000, 16_000, 30_000]
const MAX_WAIT_MS = 60_000
/** RFC 8628, 3.5: for this poll and all that follow. */
const SLOW_DOWN_MS = 5000

function howTo(issuer: URL, { userCode }: DeviceCode): string {
  return [
    'Sign in to ChatGPT on any device:',
    '  1. Once only: in ChatGPT open Settings > Security and switch on device code sign-in for Codex.',
    '     In a workspace its administrator may have to allow it.',
    `  2. Open ${issuerUrl(issuer, '/codex/device').href}`,
    `  3. Enter the code ${userCode} within 15 minutes.`,
    'Do so only because you began this yourself: whoever sends you such a code wants your account.',
    'Waiting for you. Ctrl-C stops; --paste is the way without that setting.',
  ].join('\n')
}

async function pollUntilEntered(
  device: DeviceCode,
  request: Parameters<typeof postDevicePoll>[0],
  budget: Omit<RetryBudget, 'intervalMs'>,
): Promise<DeviceGrant> {
  let { intervalMs } = device
  const { endsAt, now, signal, pause = sleepFor } = budget
  for (;;) {
    const poll = () => postDevicePoll(request, device)
    const outcome = await retryUntilFound(poll, readDevicePoll, { ...budget, intervalMs })
    if (typeof outcome === 'object') return outcome
    if (outcome === 'too-fast') intervalMs = Math.min(intervalMs + SLOW_DOWN_MS, MAX_WAIT_MS)
    if (now() + intervalMs > endsAt) throw tooLate(budget)
    await pause(intervalMs, signal)
  }
}

interface RetryBudget {
  endsAt: number
  /** The message after `endsAt`. */
  late: string
  intervalMs: number
  now: () => number
  signal?: AbortSignal | undefined
  pause?: Sleep | undefined
}

/** The result of `read` for the first conclusive answer: repeats after a lost connection, a rate limit and a 5xx. */
async function retryUntilFound<Result>(
  ask: () => Promise<TokenReply>,
  read: (reply: TokenReply) => Result | 'in-trouble',
  budget: RetryBudget,
): Promise<Exclude<Result, 'in-trouble'>> {
  const { endsAt, intervalMs, now, signal, pause = sleepFor } = budget
  let waitMs = intervalMs
  for (;;) {
    let reply: TokenReply | undefined
    try {
      reply = await ask()
    } catch (error) {
      if (!(error instanceof NoAnswerError) || signal?.aborted) throw error
      if (now() + waitMs > endsAt) throw error
    }
    const result = reply ? read(reply) : 'in-trouble'
    if (result !== 'in-trouble') return result as Exclude<Result, 'in-trouble'>
    const requestedMs = retryAfterMs(reply?.retryAfter, now())
    const nextMs = Math.max(requestedMs ?? waitMs, intervalMs)
    if (now() + nextMs > endsAt) throw tooLate(budget, reply?.status)
    await pause(nextMs, signal)
    waitMs = Math.min(waitMs * 2, MAX_WAIT_MS)
  }
}

function tooLate({ late }: Pick<RetryBudget, 'late'>, status?: number): CodexboxError {
  const last = status === undefined ? '' : ` The service last answered with status ${status}.`
  return failed(`${late}${last} Start the sign-in again.`)
}

const failed = (message: string) => new CodexboxError('sign-in-failed', message)
