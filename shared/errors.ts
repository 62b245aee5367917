/**
 * The codes of all failures. A caller acts on the code; a person reads the message.
 * Plain TypeScript, so that the container script can use it without zod.
 */
export type ErrorCode =
  // How it was called
  | 'wrong-use'
  | 'config-invalid'
  | 'workspace-invalid'
  | 'session-invalid'
  | 'session-busy'
  | 'session-missing'
  // Sign-in
  | 'not-signed-in'
  | 'sign-in-failed'
  | 'refresh-failed'
  | 'tokens-invalid'
  // The engine and the container
  | 'engine-unavailable'
  | 'image-missing'
  | 'image-unusable'
  | 'container-lost'
  | 'protocol-violation'
  // The model service
  | 'model-unreachable'
  | 'model-refused'
  | 'model-unknown'
  | 'model-failed'
  | 'stream-cut'
  | 'rate-limited'
  | 'usage-limit'
  | 'plan-without-codex'
  | 'context-full'
  // The run
  | 'run-timeout'
  | 'output-invalid'
  | 'budget-spent'
  | 'request-invalid'
  | 'internal'

/** A failure the caller can act on. Bugs stay plain `Error`s. */
export class CodexboxError extends Error {
  override readonly name = 'CodexboxError'
  readonly code: ErrorCode

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

/** The connection was closed before there was an answer: Node's own message, which Node does not give in every case. */
export const HUNG_UP = 'socket hang up (ECONNRESET)'

/** The message of any thrown value. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/**
 * The message of a thrown value with its system code, which tells more than some messages. When each address of a
 * host name was tried, the error is an AggregateError with one error for each, and no message.
 */
export function reasonOf(error: unknown): string {
  if (error instanceof CodexboxError) return error.message
  if (error instanceof AggregateError && error.errors.length > 0) {
    return error.errors.map(reasonOf).join('; ')
  }
  const code = systemCodeOf(error)
  const message = messageOf(error)
  return code && !message.includes(code) ? `${message} (${code})` : message
}

/** The `code` Node puts on system errors (`ENOENT`), or undefined. */
export function systemCodeOf(error: unknown): string | undefined {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  return typeof code === 'string' ? code : undefined
}
