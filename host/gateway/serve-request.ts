import type http from 'node:http'
import { CodexboxError, reasonOf } from '../../shared/errors.ts'
import { BUDGET_SPENT, POLICY_REFUSED, UPSTREAM_UNREACHABLE } from '../../shared/gateway-errors.ts'
import type { DebugLog } from '../debug-log.ts'
import { NoAnswerError } from '../net/no-answer-error.ts'
import type { ModelConnection } from '../providers/provider.ts'
import { type BodyPolicy, headerRefusal, type RunPolicy } from './body-policy.ts'
import { type Capability, capabilityRefused } from './capabilities.ts'
import { type Refusal, refuse } from './refusal.ts'
import type { RequestLog } from './request-log.ts'
import { sendUpstream } from './upstream.ts'
import { estimatedTokens, NO_TOKENS, UsageMeter } from './usage-meter.ts'

/** Room for the history of a long conversation with images. */
const MAX_BODY_BYTES = 64 * 1024 * 1024

export interface Serving {
  capability: Capability
  connection: ModelConnection
  runPolicy: RunPolicy
  policy: BodyPolicy
  requestLog: RequestLog | undefined
  debug: DebugLog
}

/**
 * Serves one request with the given capability: checks it against policy and budget, sends it to the
 * service, passes its answer on, counts and logs it. Never rejects.
 */
export async function serveRequest(
  request: http.IncomingMessage,
  response: http.ServerResponse,
  serving: Serving,
): Promise<void> {
  const { capability, connection, requestLog, debug, runPolicy } = serving
  const { usage } = capability
  const at = Date.now()
  const startedAt = performance.now()
  const msSince = () => Math.round((performance.now() - startedAt) * 100) / 100
  let bytesUp = 0
  let sentMs: number | undefined
  const meter = new UsageMeter()
  let bytesDown = 0
  let firstByteMs: number | undefined
  const { end, ended, signal } = endOf(request, response)

  const onPassed = (chunk: Buffer) => {
    if (firstByteMs === undefined) usage.answers++
    firstByteMs ??= msSince()
    bytesDown += chunk.length
    usage.bytesDown += chunk.length
    meter.see(chunk)
    if (usage.bytesDown > usage.budget.bytesDown) end(budgetSpent(usage.exceeded ?? ''))
  }

  const serve = async () => {
    const admitted = await admit(request, serving, (bytes) => {
      bytesUp = bytes
      usage.bytesUp += bytes
    })
    if ('body' in admitted) {
      sentMs = msSince()
      const sent = { ...admitted, headers: request.headers, signal, onPassed }
      return sendUpstream(connection, sent, response, debug)
    }
    usage.refusals++
    return admitted
  }

  capability.openRequests.add(end)
  usage.requests++
  usage.openRequests++
  // `serve` may never settle by itself, for example when a body stalls.
  const refusal = await Promise.race([serve(), ended]).catch(failure)
  // A request that the service refused or never received costs nothing.
  const mayCost = response.headersSent ? response.statusCode === 200 : signal.aborted
  const estimate =
    sentMs !== undefined && mayCost && !meter.tokens
      ? estimatedTokens({
          bytesUp,
          bytesDown,
          ms: msSince() - sentMs,
          webSearch: runPolicy.form.webSearch,
        })
      : undefined
  const tokens = meter.tokens ?? estimate ?? NO_TOKENS
  usage.tokens += tokens.input + tokens.output
  capability.openRequests.delete(end)
  usage.openRequests--
  if (refusal) refuse(response, refusal)
  // Requests beyond the budget must not fill the disk.
  if (usage.requests > usage.budget.requests + 1) return
  requestLog?.append({
    at: new Date(at).toISOString(),
    conversation: runPolicy.conversationId,
    run: usage.runId,
    model: runPolicy.model,
    status: response.statusCode,
    ...(refusal ? { why: `${refusal.code}: ${refusal.message}` } : {}),
    bytesUp,
    bytesDown,
    tokens,
    ...(estimate ? { estimated: true } : {}),
    ...(firstByteMs === undefined ? {} : { firstByteMs }),
    ms: msSince(),
  })
}

/** `end`, or a disconnect of the container, ends a request before its answer is complete; `ended` has the reason. */
function endOf(request: http.IncomingMessage, response: http.ServerResponse) {
  const aborter = new AbortController()
  let end = (_why: Refusal) => {}
  const ended = new Promise<Refusal>((resolve) => {
    end = (why) => {
      resolve(why)
      aborter.abort()
    }
  })
  request.on('error', () => end(givenUp))
  response.once('close', () => {
    if (!response.writableFinished) end(givenUp)
  })
  return { end, ended, signal: aborter.signal }
}

/** The body for the service, or a refusal. */
async function admit(
  request: http.IncomingMessage,
  { capability, runPolicy, policy }: Serving,
  countUp: (bytes: number) => void,
): Promise<{ body: Buffer } | Refusal> {
  const { usage } = capability
  const { exceeded } = usage
  if (exceeded) return budgetSpent(exceeded)
  const wrongHeader = headerRefusal(request.headers, runPolicy)
  if (wrongHeader) return policyRefused(wrongHeader)
  const body = await readBody(request)
  if (!body) return tooLarge
  // The capability may have been revoked while the body arrived.
  if (!capability.isValid) return capabilityRefused
  countUp(body.length)
  const { exceeded: nowExceeded } = usage
  if (nowExceeded) return budgetSpent(nowExceeded)
  const checked = policy(body)
  return 'body' in checked ? checked : policyRefused(checked.refused)
}

/** Only the request log gets its status. */
const givenUp: Refusal = {
  status: 499,
  code: 'given_up',
  message: 'The container did not wait for the end of the answer.',
}

const tooLarge: Refusal = {
  status: 413,
  code: 'too_large',
  message: `A request may have ${MAX_BODY_BYTES} bytes.`,
}

function policyRefused(what: string): Refusal {
  const message = `This run may not ask that: ${what}.`
  return { status: 400, code: POLICY_REFUSED, message }
}

/** Without a Retry-After: a retry never succeeds. */
function budgetSpent(message: string): Refusal {
  return { status: 429, code: BUDGET_SPENT, message }
}

function failure(error: unknown): Refusal {
  const isSignedOut = error instanceof CodexboxError && error.code === 'not-signed-in'
  const status = isSignedOut ? 401 : 502
  const message = error instanceof NoAnswerError ? error.reason : reasonOf(error)
  return { status, code: UPSTREAM_UNREACHABLE, message }
}

/**
 * Reads the complete body into memory: it is checked, and after a 401 sent a second time. Undefined for
 * a body over the limit, which is read to its end but discarded: a client that is cut off while writing
 * does not see the answer.
 */
function readBody(request: http.IncomingMessage): Promise<Buffer | undefined> {
  const chunks: Buffer[] = []
  let bytes = 0
  return new Promise((resolve) => {
    request.once('end', () => resolve(bytes <= MAX_BODY_BYTES ? Buffer.concat(chunks) : undefined))
    request.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      if (bytes <= MAX_BODY_BYTES) chunks.push(chunk)
      else chunks.length = 0
    })
  })
}
