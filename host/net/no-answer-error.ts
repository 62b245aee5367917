import { UnknownCodingError } from '../../shared/decode-body.ts'
import { CodexboxError, type ErrorCode, systemCodeOf } from '../../shared/errors.ts'
import type { OutgoingProxy } from './proxy.ts'

export interface Attempt {
  url: URL
  proxy?: OutgoingProxy | undefined
  signal?: AbortSignal | undefined
  error: unknown
}

/** No whole answer came. */
export class NoAnswerError extends CodexboxError {
  /** Whether the request may have arrived all the same. */
  readonly mayHaveArrived: boolean

  /** The error does not become the cause: one of the HTTP parser carries the bytes it read. */
  constructor(code: ErrorCode, attempt: Attempt) {
    const { why, advice } = explain(attempt)
    const { url, proxy } = attempt
    const way = proxy?.url ? ` through the proxy ${proxy.url.origin}` : ''
    super(code, `Asked ${url.origin}${way}: ${why}. ${advice}`)
    this.mayHaveArrived = !isBeforeSending(attempt)
  }
}

function explain(attempt: Attempt): { why: string; advice: string } {
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
  if (error instanceof UnknownCodingError) {
    return { why, advice: 'Nothing asked for that; a proxy on the way is the usual reason.' }
  }
  if (!proxy) return { why, advice }
  const { variable, url } = proxy
  if (!url) return { why, advice: `Set ${variable} like http://proxy.example:3128.` }
  const check = `Check ${variable}, and whether the service may be reached through that proxy.`
  const status = refusedBy(attempt)
  if (status === 407) {
    const given = url.username
      ? 'does not accept the name and password'
      : 'asks for a name and password'
    return {
      why: `the proxy ${given} (407)`,
      advice: `Write them into ${variable} like http://NAME:PASSWORD@proxy.example:3128.`,
    }
  }
  if (status !== undefined) return { why: `the proxy refused with status ${status}`, advice: check }
  if (isBeforeSending(attempt))
    return { why: `the proxy cannot be reached (${why})`, advice: check }
  return { why, advice }
}

const messageOf = (error: unknown) => (error instanceof Error ? error.message : 'failed')

/** The names that OpenSSL has for a chain of certificates that ends at nobody we know. */
const NOT_TRUSTED = new Set([
  'CERT_UNTRUSTED',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
])

/** The status with which a proxy turned down a tunnel. The library says it in words only. */
function refusedBy({ proxy, error }: Attempt): number | undefined {
  const [, status] = (proxy && /^Proxy response \((\d+)\)/.exec(messageOf(error))) ?? []
  return status === undefined ? undefined : Number(status)
}

/** No connection came about. An error that says nothing of that may have come after the request. */
function isBeforeSending(attempt: Attempt): boolean {
  const { proxy, error } = attempt
  if (refusedBy(attempt) !== undefined || (proxy && !proxy.url)) return true
  // One for each address of the name.
  const parts = error instanceof AggregateError ? error.errors : [error]
  return parts.every(
    (part) =>
      systemCodeOf(part) === 'UND_ERR_CONNECT_TIMEOUT' ||
      (part instanceof Error &&
        'syscall' in part &&
        /^(connect|getaddrinfo)$/.test(String(part.syscall))),
  )
}
