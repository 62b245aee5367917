import { setTimeout as sleep } from 'node:timers/promises'
import type Dockerode from 'dockerode'
import { CodexboxError, messageOf, systemCodeOf } from '../../shared/errors.ts'

/** An engine that does not answer within this time counts as unavailable. */
export const ANSWER_MS = 10_000

/**
 * Sends a request to the engine with a time limit. `engineLabel` names the engine in messages.
 * @throws CodexboxError `engine-unavailable`; an error answer of the engine unchanged, with its status
 */
export async function engineRequest<T>(
  request: (abortSignal: AbortSignal) => Promise<T>,
  engineLabel: string,
  answerMs = ANSWER_MS,
): Promise<T> {
  const abandoned = new AbortController()
  const answered = new AbortController()
  try {
    return await Promise.race([
      request(abandoned.signal),
      sleep(answerMs, undefined, { signal: answered.signal }).then((): never => {
        throw new Error(`no answer within ${answerMs / 1000} s`)
      }),
    ])
  } catch (error) {
    // An open request would keep this process alive.
    abandoned.abort()
    if (statusOf(error) !== undefined) throw error
    throw engineUnavailable(engineLabel, error)
  } finally {
    answered.abort()
  }
}

export function engineUnavailable(engineLabel: string, cause: unknown): CodexboxError {
  if (cause instanceof CodexboxError) return cause
  const hint =
    systemCodeOf(cause) === 'EACCES'
      ? 'This user may not talk to it: join the group that owns the socket (often `docker`), then log in anew.'
      : 'Start Docker, or set DOCKER_HOST to where it listens.'
  return new CodexboxError(
    'engine-unavailable',
    `The Docker engine (${engineLabel}) cannot be used: ${messageOf(cause).trim()}. ${hint}`,
    { cause },
  )
}

/** Whether `engineRequest` failed without an answer; the next request would too. */
export function hadNoAnswer(error: unknown): boolean {
  const cause = error instanceof CodexboxError ? error.cause : undefined
  return cause !== undefined && statusOf(cause) === undefined
}

/** The client accepts the signal; its types lack it. */
export function ping(docker: Dockerode, abortSignal: AbortSignal): Promise<unknown> {
  const client = docker as unknown as { ping(options: object): Promise<unknown> }
  return client.ping({ abortSignal })
}

/** Whether the engine refused because the container no longer exists. */
export function isGone(error: unknown): boolean {
  // Podman may notice while it answers, and reports that as an internal error.
  return statusOf(error) === 404 || /no such container/i.test(messageOf(error))
}

/** The HTTP status of an error answer; undefined without an answer. */
export function statusOf(error: unknown): number | undefined {
  const status = error instanceof Error && 'statusCode' in error ? error.statusCode : undefined
  return typeof status === 'number' ? status : undefined
}
