import { CodexboxError } from '../../../shared/errors.ts'

/** A transient failure to renew the sign-in, with the service's `Retry-After`. */
export class RetryAfterError extends CodexboxError {
  readonly retryAfterMs: number

  constructor(message: string, pauseMs: number) {
    super('refresh-failed', message)
    this.retryAfterMs = pauseMs
  }
}
