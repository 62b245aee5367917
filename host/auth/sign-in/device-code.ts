import { z } from 'zod'
import { CodexboxError } from '../../../shared/errors.ts'
import { CLIENT_ID } from '../client-identity.ts'
import { errorCodeOf } from '../error-code.ts'
import { postToken, type TokenReply } from '../token-endpoint.ts'

export interface DeviceCode {
  deviceAuthId: string
  /** The code that the user types. */
  userCode: string
  intervalMs: number
}

/** The grant of the service once the user has entered the code. The service also makes the verifier. */
export interface DeviceGrant {
  code: string
  verifier: string
}

interface DeviceRequest {
  issuer: URL
  signal?: AbortSignal | undefined
  timeoutMs?: number | undefined
}

/**
 * Asks for a code that the user can type. Not RFC 8628: the service has its own, older flow.
 * @throws NoAnswerError `sign-in-failed`
 */
export function postDeviceCode(request: DeviceRequest): Promise<TokenReply> {
  return post(request, 'usercode', { client_id: CLIENT_ID })
}

/** Asks whether the code has been entered. @throws NoAnswerError `sign-in-failed` */
export function postDevicePoll(request: DeviceRequest, device: DeviceCode): Promise<TokenReply> {
  const { deviceAuthId, userCode } = device
  return post(request, 'token', { device_auth_id: deviceAuthId, user_code: userCode })
}

/** @throws CodexboxError `sign-in-failed` */
export function readDeviceCode(reply: TokenReply): DeviceCode | 'in-trouble' {
  if (isInTrouble(reply)) return 'in-trouble'
  // As recorded: the official client treats 404 so.
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

/** `pending`: the code has not been entered; `too-fast`: the same, and the polls must be less frequent. */
export type DevicePoll = DeviceGrant | 'pending' | 'too-fast' | 'in-trouble'

/**
 * Judges the answer to a poll. Its error code counts before its status.
 *
 * Sources: other clients have seen the service itself answer `deviceauth_authorization_pending` and
 * `deviceauth_authorization_unknown` with 403 before the code is entered, `deviceauth_slow_down` with 403 and 429,
 * `deviceauth_access_denied`, and `deviceauth_not_found` and `deviceauth_expired_token` with 404. The names without the
 * prefix are those of RFC 8628, 3.5. In recordings the official client treats 403 and 404 without a code as pending.
 * That 429 and 5xx are transient is our own assumption. Any other answer ends the sign-in: a wait after an
 * unknown answer would be a quarter of an hour for nothing.
 * @throws CodexboxError `sign-in-failed` after a refusal or an unknown answer
 */
export function readDevicePoll({ status, json, body }: TokenReply): DevicePoll {
  const answer = DeviceGrantAnswer.safeParse(json).data
  if (status === 200 && answer) {
    return { code: answer.authorization_code, verifier: answer.code_verifier }
  }
  const code = errorCodeOf(json)
  const known = CODES.get(code.replace(/^deviceauth_/, ''))
  if (known) {
    if (typeof known === 'string') return known
    throw failed(`${known.end} Start the sign-in again.`)
  }
  if (isInTrouble({ status })) return 'in-trouble'
  if (status === 403 || status === 404) {
    if (json === undefined && body.trim() !== '') throw failed(notTheService(status))
    if (code === '') return 'pending'
  }
  // Only a code that looks like an identifier is shown.
  const named = /^[a-z]+(_[a-z]+)*$/.test(code) && code.length < 60 ? `${code}, ` : ''
  throw failed(
    `The service refused the sign-in by device code (${named}status ${status}). It may be switched off ` +
      'in ChatGPT under Settings > Security, or by your workspace. Sign in again, or with --paste.',
  )
}

const isInTrouble = ({ status }: Pick<TokenReply, 'status'>) =>
  status === 429 || (status >= 500 && status < 600)

const notTheService = (status: number) =>
  `Not the service but something on the way answered the sign-in (status ${status}). Check VPN and proxy, then sign ` +
  'in again.'

const CODES = new Map<string, 'pending' | 'too-fast' | { end: string }>([
  ['authorization_pending', 'pending'],
  ['authorization_unknown', 'pending'],
  ['slow_down', 'too-fast'],
  ['access_denied', { end: 'The sign-in was denied on the page where the code is entered.' }],
  ['expired_token', { end: 'The code has expired before it was entered.' }],
  [
    'not_found',
    { end: 'The service does not know the code any more: it has expired, or was used.' },
  ],
])

const printable = z.string().regex(/^[\x21-\x7e]{1,256}$/)

const DeviceCodeAnswer = z.object({
  device_auth_id: printable,
  // Shown on a terminal and typed by hand.
  user_code: z.string().regex(/^[A-Za-z0-9-]{1,64}$/),
  // The service sends a string of digits; a number is accepted as well.
  interval: z.union([z.string().regex(/^\d{1,4}$/), z.number()]).catch(5),
})

const DeviceGrantAnswer = z.object({ authorization_code: printable, code_verifier: printable })

function post(
  request: DeviceRequest,
  name: string,
  fields: Record<string, string>,
): Promise<TokenReply> {
  return postToken({
    ...request,
    path: `/api/accounts/deviceauth/${name}`,
    contentType: 'application/json',
    body: JSON.stringify(fields),
    code: 'sign-in-failed',
  })
}

const failed = (message: string) => new CodexboxError('sign-in-failed', message)
