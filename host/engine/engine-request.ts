import { setTimeout as sleep } from 'node:timers/promises'
import type Dockerode from 'dockerode'
import { CodexboxError, messageOf, systemCodeOf } from '../../shared/errors.ts'

/** An engine that does not answer within this is as good as none. */
export const ANSWER_MS = 10_000

/**
 * An engine's answer in bounded time, a missing engine as a sentence. `engineLabel` is the engine, for messages.
 * @throws CodexboxError `engine-unavailable`; a refusal of the engine's as it is, with its status
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
    // One that stays open would keep this process from ending.
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

/** Whether an error of `engineRequest` is that there was no answer; then there will be none to the next question. */
export function hadNoAnswer(error: unknown): boolean {
  const cause = error instanceof CodexboxError ? error.cause : undefined
  return cause !== undefined && statusOf(cause) === undefined
}

/** The client takes the signal; its types do not say so. */
export function ping(docker: Dockerode, abortSignal: AbortSignal): Promise<unknown> {
  const client = docker as unknown as { ping(options: object): Promise<unknown> }
  return client.ping({ abortSignal })
}

/** Whether an engine refused because there is no such container any more. */
export function isGone(error: unknown): boolean {
  // Podman may notice while it answers, and calls that an error of its own.
  return statusOf(error) === 404 || /no such container/i.test(messageOf(error))
}

/** Of a refusal; undefined when there was no answer. */
export function statusOf(error: unknown): number | undefined {
  const status = error instanceof Error && 'statusCode' in error ? error.statusCode : undefined
  return typeof status === 'number' ? status : undefined
}
