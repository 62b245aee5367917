import type http from 'node:http'
import type { RunLimits } from '../../shared/protocol.ts'
import type { Secrets } from '../../shared/secrets.ts'
import type { ModelClient } from './model-client.ts'
import { failureOfResponse, failureOfStream } from './model-failure.ts'
import { type ModelReply, type ReplyListener, readReply } from './model-reply.ts'

export interface Ask {
  body: string
  secrets: Secrets
  /** Headers beside the fixed ones. */
  headers: Record<string, string>
  limits: Pick<RunLimits, 'firstEventMs' | 'streamIdleMs'>
  signal: AbortSignal
}

export interface AskListener extends ReplyListener {
  /** The service has begun to answer, with any status. */
  onHeaders(headers: http.IncomingHttpHeaders): void
}

export type AskReply = ModelReply & {
  /** From sending the request to the first event, in ms; 0 when there was none. */
  firstEventMs: number
}

/**
 * One request, its answer read to the end. Never rejects: a failure is part of the reply. Silence is
 * a failure: comments and blank lines can keep a dead stream open for ever, so only events count.
 */
export async function askModel(
  client: ModelClient,
  { body, secrets, headers, limits, signal }: Ask,
  listener: AskListener,
): Promise<AskReply> {
  const cut = new AbortController()
  let silentForMs: number | undefined
  const expireAfter = (ms: number) =>
    setTimeout(() => {
      silentForMs = ms
      cut.abort()
    }, ms)
  let deadline = expireAfter(limits.firstEventMs)
  const onAbort = () => cut.abort()
  signal.addEventListener('abort', onAbort, { once: true })
  if (signal.aborted) onAbort()

  const sentAt = performance.now()
  let firstEventMs = 0
  let hadHeaders = false
  try {
    const answer = await client.post({ secrets, headers, body, signal: cut.signal })
    listener.onHeaders(answer.headers)
    if (answer.status === 'refused') {
      return { failure: failureOfResponse(answer.response), wantsMore: false, firstEventMs }
    }
    hadHeaders = true
    const reply = await readReply(answer.chunks, {
      ...listener,
      onEvent: (event) => {
        if (firstEventMs > 0) {
          deadline.refresh()
        } else {
          firstEventMs = Math.max(1, Math.round(performance.now() - sentAt))
          clearTimeout(deadline)
          deadline = expireAfter(limits.streamIdleMs)
        }
        listener.onEvent(event)
      },
    })
    if (silentForMs === undefined) return { ...reply, firstEventMs }
    return { failure: silence(silentForMs, hadHeaders), wantsMore: false, firstEventMs }
  } catch (error) {
    const failure =
      silentForMs === undefined
        ? failureOfStream(error, hadHeaders)
        : silence(silentForMs, hadHeaders)
    return { failure, wantsMore: false, firstEventMs }
  } finally {
    clearTimeout(deadline)
    signal.removeEventListener('abort', onAbort)
  }
}

function silence(ms: number, hadHeaders: boolean) {
  return failureOfStream(`nothing came for ${ms / 1000} s`, hadHeaders)
}
