import { CodexboxError } from '../../../shared/errors.ts'

/** The sign-in could not be renewed for now, and the service says when to ask again. */
export class RetryAfterError extends CodexboxError {
  readonly retryAfterMs: number

  constructor(message: string, pauseMs: number) {
    super('refresh-failed', message)
    this.retryAfterMs = pauseMs
  }
}
