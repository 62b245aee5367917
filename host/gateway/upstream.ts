import type http from 'node:http'
import type { Readable } from 'node:stream'
import { CodexboxError, reasonOf } from '../../shared/errors.ts'
import { eventStream } from '../../shared/event-stream.ts'
import { authorizationHeaders, type Secrets } from '../../shared/secrets.ts'
import type { DebugExchange, DebugLog } from '../debug-log.ts'
import { encodeBody } from '../net/encode-body.ts'
import { type IncomingAnswer, send } from '../net/send.ts'
import type { ModelConnection } from '../providers/provider.ts'
import { CLIENT_VERSION_HEADER, LITE_HEADER } from './body-policy.ts'

/** The headers that a container may set. The host sets all others. */
const FROM_CONTAINER = [
  'session-id',
  'thread-id',
  'x-codex-turn-state',
  LITE_HEADER,
  CLIENT_VERSION_HEADER,
]

/** The headers that the service may return: about the answer and its limits. Cookies, for example, stay on the host. */
const TO_CONTAINER =
  /^(content-type|retry-after|openai-model|x-request-id|x-oai-request-id|x-openai-authorization-error|x-error-json|cf-ray|cf-mitigated|x-models-etag|x-codex-.*|x-[a-z0-9-]+-(primary|secondary)-[a-z-]+|x-[a-z0-9-]+-limit-name)$/

export interface ContainerRequest {
  /** Checked and serialised by the policy. */
  body: Buffer
  headers: http.IncomingHttpHeaders
  signal: AbortSignal
  /** Called with each chunk of the answer after it was written to the container. */
  onPassed: (chunk: Buffer) => void
}

/**
 * Sends a container's request to the service with the real credentials, and streams the answer back.
 * After a refused token the host renews it and repeats the request once, so a run outlives its token.
 * @throws NoAnswerError
 */
export async function sendUpstream(
  connection: ModelConnection,
  request: ContainerRequest,
  response: http.ServerResponse,
  debug: DebugLog,
): Promise<void> {
  const secrets = await connection.getSecrets()
  const first = await post(connection, request, secrets, debug)
  const renewed =
    first.answer.status === 401
      ? await renewedSecrets(connection, secrets).catch((error: unknown) => {
          first.answer.body.resume()
          first.exchange.ended({ error })
          throw error
        })
      : undefined
  if (!renewed) return passOn(first, request, response)
  first.answer.body.resume()
  first.exchange.ended()
  return passOn(await post(connection, request, renewed, debug, secrets), request, response)
}

interface Posted {
  answer: IncomingAnswer
  secrets: Secrets
  exchange: DebugExchange
}

async function passOn(
  { answer, secrets, exchange }: Posted,
  { onPassed }: ContainerRequest,
  response: http.ServerResponse,
): Promise<void> {
  response.writeHead(answer.status, allowed(answer.headers, secrets))
  try {
    if (answer.status !== 200) {
      // The status is useful even if the text never arrives.
      response.flushHeaders()
      const refusal = await readRefusal(answer, secrets)
      response.end(refusal, 'latin1')
      return exchange.ended({ refusal })
    }
    await pipeAnswer(
      eventStream(answer.headers['content-type'], answer.body),
      response,
      (chunk) => {
        exchange.received(chunk.length)
        onPassed(chunk)
      },
    )
    exchange.ended()
  } catch (error) {
    exchange.ended({ error })
    throw error
  }
}

/** Not `pipeline` of node:stream, which takes longer than all other steps together. */
function pipeAnswer(
  body: Readable,
  response: http.ServerResponse,
  onPassed: (chunk: Buffer) => void,
): Promise<void> {
  // The first byte of the body is the longest wait; if it is here already, the headers go with it.
  if (body.readableLength === 0) response.flushHeaders()
  return new Promise((resolve, reject) => {
    // A stream that failed together with its head emits no further error event.
    if (body.destroyed) reject(body.errored ?? new Error('aborted'))
    body.once('error', reject)
    response.once('close', () => {
      if (response.writableFinished) resolve()
      else reject(new Error('the container went away'))
    })
    const pass = () => {
      if (response.writableNeedDrain) return
      const chunk = readAll(body)
      if (chunk.length === 0) return
      response.write(chunk)
      // Counted after the write.
      process.nextTick(onPassed, chunk)
    }
    body.on('readable', pass)
    response.on('drain', pass)
    body.once('end', () => response.end())
  })
}

/** Joins the buffered chunks: one large write is far less work for both ends. */
function readAll(body: Readable): Buffer {
  const pieces: Buffer[] = []
  // Reads until null: the amount per call depends on the version of Node.
  for (let piece = body.read(); piece !== null; piece = body.read()) pieces.push(piece)
  return Buffer.concat(pieces)
}

/** Undefined without new secrets: the container then gets the refusal itself. */
async function renewedSecrets(connection: ModelConnection, rejected: Secrets) {
  try {
    const renewed = await connection.getSecrets(rejected.CODEX_ACCESS_TOKEN)
    return renewed.CODEX_ACCESS_TOKEN === rejected.CODEX_ACCESS_TOKEN ? undefined : renewed
  } catch (error) {
    // A transient refresh failure is not a sign-out: report it as retryable.
    if (error instanceof CodexboxError && error.code !== 'refresh-failed') return undefined
    throw error
  }
}

/** More than any error text needs. */
const MAX_REFUSAL_BYTES = 64 * 1024

/**
 * Decodes as latin1, one character per byte, which is lossless. A refusal that quotes the request must not
 * carry the credentials into the container.
 */
async function readRefusal({ body }: IncomingAnswer, secrets: Secrets): Promise<string> {
  const longest = Math.max(...valuesOf(secrets).map(({ length }) => length))
  let text = ''
  let isComplete = true
  try {
    for await (const chunk of body) {
      text += chunk.toString('latin1')
      isComplete = text.length <= MAX_REFUSAL_BYTES + longest
      if (!isComplete) break
    }
  } catch (error) {
    // The status and the headers still make it a refusal.
    text = reasonOf(error)
  }
  const { CODEX_ACCESS_TOKEN: token, CODEX_ACCOUNT_ID: account } = secrets
  const withoutToken = text.replaceAll(token, '<token>')
  const masked = account ? withoutToken.replaceAll(account, '<account>') : withoutToken
  // A secret may begin at the cut.
  return (isComplete ? masked : masked.slice(0, -longest)).slice(0, MAX_REFUSAL_BYTES)
}

/** Drops headers that quote the request's secrets, plain or in base64, the encoding of error headers. */
function allowed(headers: http.IncomingHttpHeaders, secrets: Secrets): http.OutgoingHttpHeaders {
  return Object.fromEntries(
    Object.entries(headers).filter(([name, value]) => {
      if (!TO_CONTAINER.test(name)) return false
      const raw = `${value}`
      const both = `${raw} ${Buffer.from(raw, 'base64').toString('latin1')}`
      return !valuesOf(secrets).some((secret) => both.includes(secret))
    }),
  )
}

const valuesOf = (secrets: Secrets) =>
  Object.values(secrets).filter((value): value is string => Boolean(value))

/** Services that refused an encoded body (415) get plain bodies from then on. */
const refusesZstd = new WeakSet<ModelConnection>()

async function post(
  connection: ModelConnection,
  request: ContainerRequest,
  secrets: Secrets,
  debug: DebugLog,
  rejected?: Secrets,
): Promise<Posted> {
  const { body, headers: received, signal } = request
  const { responsesUrl: url, headers: identity } = connection
  const isEncoded = connection.takesZstd && !refusesZstd.has(connection)
  const encoded = isEncoded ? await encodeBody(body) : undefined
  const headers: Record<string, string> = {}
  for (const name of FROM_CONTAINER) {
    const value = received[name]
    if (typeof value === 'string') headers[name] = value
  }
  Object.assign(headers, identity, authorizationHeaders(secrets), {
    accept: 'text/event-stream',
    'content-type': 'application/json',
    ...(encoded ? { 'content-encoding': 'zstd' } : {}),
  })
  const method = 'POST'
  const exchange = debug.request({
    method,
    url,
    headers,
    body,
    secrets: [secrets, rejected].flatMap((values) => values && Object.values(values)),
  })
  const options = { method, headers, signal, keepsAlive: true, code: 'model-unreachable' } as const
  let answer: IncomingAnswer
  try {
    answer = await send(url, { ...options, body: encoded ?? body })
    exchange.answered(answer)
  } catch (error) {
    exchange.ended({ error })
    throw error
  }
  if (!encoded || answer.status !== 415) return { answer, secrets, exchange }
  answer.body.resume()
  exchange.ended()
  refusesZstd.add(connection)
  return post(connection, request, secrets, debug, rejected)
}
