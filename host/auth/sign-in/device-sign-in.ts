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
  /** Says a line to the person. */
  say: (line: string) => void
  save: (tokens: Tokens) => Promise<void>
  signal?: AbortSignal | undefined
  now?: (() => number) | undefined
  pause?: Sleep | undefined
  timeoutMs?: number | undefined
}

/**
 * Signs in with a code that the person types in a browser on any device. What goes wrong on the way
 * and may pass (the network, a service in trouble) costs nothing but time, up to the code's end.
 * @throws CodexboxError `sign-in-failed`; whatever `save` throws.
 */
export async function signInWithDevice(options: DeviceSignInOptions): Promise<Tokens> {
  const { issuer, say, save, signal, timeoutMs, now = Date.now } = options
  const endsAt = now() + LIFETIME_MS
  try {
    const asking = { issuer, signal, timeoutMs }
    const patience = { ...options, endsAt, now, late: 'Nobody entered the code in time.' }
    const device = await retryUntilFound(() => postDeviceCode(asking), readDeviceCode, {
      ...patience,
      // Nobody waits for a quarter of an hour before anything is shown.
      endsAt: now() + FIRST_CODE_MS,
      intervalMs: 2000,
      late: 'The service gave no code for the sign-in.',
    })
    say(howTo(issuer, device))
    const grant = await untilEntered(device, asking, patience)
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

/** How long a code is good for. */
const LIFETIME_MS = 15 * 60_000
const FIRST_CODE_MS = 30_000
/** The person has done all there is to do; the network may take a minute to come back. */
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

async function untilEntered(
  device: DeviceCode,
  asking: Parameters<typeof postDevicePoll>[0],
  patience: Omit<RetryBudget, 'intervalMs'>,
): Promise<DeviceGrant> {
  let { intervalMs } = device
  const { endsAt, now, signal, pause = sleepFor } = patience
  for (;;) {
    const poll = () => postDevicePoll(asking, device)
    const outcome = await retryUntilFound(poll, readDevicePoll, { ...patience, intervalMs })
    if (typeof outcome === 'object') return outcome
    if (outcome === 'too-fast') intervalMs = Math.min(intervalMs + SLOW_DOWN_MS, MAX_WAIT_MS)
    if (now() + intervalMs > endsAt) throw tooLate(patience)
    await pause(intervalMs, signal)
  }
}

interface RetryBudget {
  endsAt: number
  /** What to say when that has passed. */
  late: string
  intervalMs: number
  now: () => number
  signal?: AbortSignal | undefined
  pause?: Sleep | undefined
}

/** What `read` finds in the first answer that says something: a cut line, a limit and a server in trouble do not. */
async function retryUntilFound<Found>(
  ask: () => Promise<TokenReply>,
  read: (reply: TokenReply) => Found | 'in-trouble',
  patience: RetryBudget,
): Promise<Exclude<Found, 'in-trouble'>> {
  const { endsAt, intervalMs, now, signal, pause = sleepFor } = patience
  let waitMs = intervalMs
  for (;;) {
    let reply: TokenReply | undefined
    try {
      reply = await ask()
    } catch (error) {
      if (!(error instanceof NoAnswerError) || signal?.aborted) throw error
      if (now() + waitMs > endsAt) throw error
    }
    const found = reply ? read(reply) : 'in-trouble'
    if (found !== 'in-trouble') return found as Exclude<Found, 'in-trouble'>
    const asked = retryAfterMs(reply?.retryAfter, now())
    const nextMs = Math.max(asked ?? waitMs, intervalMs)
    if (now() + nextMs > endsAt) throw tooLate(patience, reply?.status)
    await pause(nextMs, signal)
    waitMs = Math.min(waitMs * 2, MAX_WAIT_MS)
  }
}

function tooLate({ late }: Pick<RetryBudget, 'late'>, status?: number): CodexboxError {
  const last = status === undefined ? '' : ` The service last answered with status ${status}.`
  return failed(`${late}${last} Start the sign-in again.`)
}

const failed = (message: string) => new CodexboxError('sign-in-failed', message)
