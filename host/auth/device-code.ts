import { z } from 'zod'
import { CodexboxError } from '../../shared/errors.ts'
import { CLIENT_ID } from './client-identity.ts'
import { errorCodeOf } from './error-code.ts'
import { postToken, type TokenReply } from './token-endpoint.ts'

export interface DeviceCode {
  deviceAuthId: string
  /** What the person types. */
  userCode: string
  intervalMs: number
}

/** What the service gives once the person has entered the code. The verifier is of its making too. */
export interface DeviceGrant {
  code: string
  verifier: string
}

interface Asking {
  issuer: URL
  signal?: AbortSignal | undefined
  timeoutMs?: number | undefined
}

/**
 * Asks for a code that a person can type. Not RFC 8628: the service had its own flow before.
 * @throws NoAnswerError `sign-in-failed`
 */
export function postDeviceCode(asking: Asking): Promise<TokenReply> {
  return post(asking, 'usercode', { client_id: CLIENT_ID })
}

/** Asks whether the code has been entered. @throws NoAnswerError `sign-in-failed` */
export function postDevicePoll(asking: Asking, device: DeviceCode): Promise<TokenReply> {
  const { deviceAuthId, userCode } = device
  return post(asking, 'token', { device_auth_id: deviceAuthId, user_code: userCode })
}

/** @throws CodexboxError `sign-in-failed` */
export function readDeviceCode(reply: TokenReply): DeviceCode {
  if (reply.status === 404) {
    throw failed('Sign-in by device code is not switched on at this service. Use --paste instead.')
  }
  const answer = DeviceCodeAnswer.safeParse(reply.json).data
  if (reply.status !== 200 || !answer) {
    throw failed(`Asked for a device code; status ${reply.status} came back. Use --paste instead.`)
  }
  return {
    deviceAuthId: answer.device_auth_id,
    userCode: answer.user_code,
    intervalMs: Math.min(Math.max(Number(answer.interval), 1), 60) * 1000,
  }
}

/**
 * `pending`: the code has not been entered; `too-fast`: the same, and the polls are to come less often.
 * A code of the service counts before the status, 403 and 404 without one mean pending.
 * @throws CodexboxError `sign-in-failed` when it said no
 */
export function readDevicePoll(reply: TokenReply): DeviceGrant | 'pending' | 'too-fast' {
  const code = deviceErrorOf(reply)
  if (code === 'slow_down') return 'too-fast'
  const end = code && ENDS.get(code)
  if (end) throw failed(`${end} Start the sign-in again.`)
  if (code || reply.status === 403 || reply.status === 404) return 'pending'
  const answer = DeviceGrantAnswer.safeParse(reply.json).data
  if (reply.status === 200 && answer) {
    return { code: answer.authorization_code, verifier: answer.code_verifier }
  }
  throw failed(
    `The service refused the sign-in by device code (status ${reply.status}). It may be switched off ` +
      'in ChatGPT under Settings > Security, or by your workspace. Sign in again, or with --paste.',
  )
}

/** Undefined where the service answered with something else. Without its prefix, as in RFC 8628. */
export function deviceErrorOf({ status, json }: TokenReply): string | undefined {
  const code = status >= 400 ? errorCodeOf(json).replace(/^deviceauth_/, '') : ''
  return CODES.has(code) ? code : undefined
}

const ENDS: ReadonlyMap<string, string> = new Map([
  ['access_denied', 'The sign-in was denied on the page where the code is entered.'],
  ['expired_token', 'The code has expired before it was entered.'],
  ['not_found', 'The service does not know the code any more: it has expired, or was used.'],
])
const CODES = new Set([...ENDS.keys(), 'slow_down', 'authorization_pending'])

const printable = z.string().regex(/^[\x21-\x7e]{1,256}$/)

const DeviceCodeAnswer = z.object({
  device_auth_id: printable,
  // It is shown on a terminal and typed by hand.
  user_code: z.string().regex(/^[A-Za-z0-9-]{1,64}$/),
  // A string of digits, for whatever reason. A number would do as well.
  interval: z.union([z.string().regex(/^\d{1,4}$/), z.number()]).catch(5),
})

const DeviceGrantAnswer = z.object({ authorization_code: printable, code_verifier: printable })

function post(asking: Asking, name: string, fields: Record<string, string>): Promise<TokenReply> {
  return postToken({
    ...asking,
    path: `/api/accounts/deviceauth/${name}`,
    contentType: 'application/json',
    body: JSON.stringify(fields),
    code: 'sign-in-failed',
  })
}

const failed = (message: string) => new CodexboxError('sign-in-failed', message)
