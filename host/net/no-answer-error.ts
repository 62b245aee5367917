import { CodingError } from '../../shared/decode-body.ts'
import {
  CodexboxError,
  type ErrorCode,
  messageOf,
  reasonOf,
  systemCodeOf,
} from '../../shared/errors.ts'
import type { OutgoingProxy } from './proxy.ts'

export interface Attempt {
  url: URL
  proxy?: OutgoingProxy | undefined
  signal?: AbortSignal | undefined
  error: unknown
}

/** The answer exceeds the size limit. */
export class TooLargeError extends Error {
  override readonly name = 'TooLargeError'
}

/** A request without a complete answer. */
export class NoAnswerError extends CodexboxError {
  /** Whether the request may still have arrived. */
  readonly mayHaveArrived: boolean
  /** The message without advice, except about a proxy, for callers with their own advice. */
  readonly reason: string

  /** The error does not become the cause: an HTTP parser error carries the bytes it read. */
  constructor(code: ErrorCode, attempt: Attempt) {
    const { why, advice, isAboutProxy } = explain(attempt)
    const { url, proxy } = attempt
    const route = proxy?.url ? ` through the proxy ${proxy.url.origin}` : ''
    const what = `Asked ${url.origin}${route}: ${why}`
    super(code, `${what}. ${advice}`)
    this.mayHaveArrived = !isBeforeSending(attempt)
    this.reason = isAboutProxy ? this.message : proxy ? what : reasonIn(attempt)
  }
}

/** The system's message. */
function reasonIn({ signal, error }: Attempt): string {
  return reasonOf(signal?.aborted ? signal.reason : error)
}

interface Explained {
  why: string
  advice: string
  isAboutProxy?: true
}

function explain(attempt: Attempt): Explained {
  const { proxy, signal, error } = attempt
  const advice = 'Check the network and try again.'
  if (signal?.aborted) return { why: messageOf(signal.reason), advice }
  const why = systemCodeOf(error) ?? messageOf(error)
  if (NOT_TRUSTED.has(why)) {
    return {
      why: `the certificate is of no authority that is trusted here (${why})`,
      advice: 'If your network has its own authority, name its file in NODE_EXTRA_CA_CERTS.',
    }
  }
  if (error instanceof CodingError) {
    return {
      why,
      advice:
        'No encoding was asked for. A proxy on the way may have added it: check proxy and VPN.',
    }
  }
  if (why.startsWith('HPE_')) {
    return { why: `what answers does not keep to HTTP (${why})`, advice: NOT_THE_SERVICE }
  }
  if (error instanceof TooLargeError) return { why, advice: NOT_THE_SERVICE }
  return proxy ? explainProxy(attempt, proxy, why) : { why, advice }
}

const NOT_THE_SERVICE = 'It may not be the service: check proxy and base URL.'

function explainProxy(attempt: Attempt, proxy: OutgoingProxy, why: string): Explained {
  const isAboutProxy = true
  const { variable, url } = proxy
  if (!url) return { why, advice: `Set ${variable} like http://proxy.example:3128.`, isAboutProxy }
  const check = `Check ${variable}, and whether the service may be reached through that proxy.`
  const status = refusedBy(attempt)
  if (status === 407) {
    const fault = url.username
      ? 'does not accept the name and password'
      : 'asks for a name and password'
    return {
      why: `the proxy ${fault} (407)`,
      advice: `Write them into ${variable} like http://NAME:PASSWORD@proxy.example:3128.`,
      isAboutProxy,
    }
  }
  const refusal = status === undefined ? undefined : `the proxy refused with status ${status}`
  const unreached = isBeforeSending(attempt) ? `the proxy cannot be reached (${why})` : undefined
  const ofProxy = refusal ?? unreached
  return ofProxy
    ? { why: ofProxy, advice: check, isAboutProxy }
    : { why, advice: 'Check the network and try again.' }
}

/** OpenSSL's codes for a certificate chain without a trusted root. */
const NOT_TRUSTED = new Set([
  'CERT_UNTRUSTED',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
])

/** The status of a proxy that refused a tunnel. The library has it only in the message. */
function refusedBy({ proxy, error }: Attempt): number | undefined {
  const [, status] = (proxy && /^Proxy response \((\d+)\)/.exec(messageOf(error))) ?? []
  return status === undefined ? undefined : Number(status)
}

/** Whether no connection was made. An unknown error may have come after the request. */
function isBeforeSending(attempt: Attempt): boolean {
  const { proxy, error } = attempt
  if (refusedBy(attempt) !== undefined || (proxy && !proxy.url)) return true
  // One error per address of the name.
  const parts = error instanceof AggregateError ? error.errors : [error]
  return parts.every(
    (part) =>
      systemCodeOf(part) === 'UND_ERR_CONNECT_TIMEOUT' ||
      (part instanceof Error &&
        'syscall' in part &&
        /^(connect|getaddrinfo)$/.test(String(part.syscall))),
  )
}
