import type http from 'node:http'
import { pipeline } from 'node:stream/promises'
import { CodexboxError } from '../../shared/errors.ts'
import { authorizationHeaders, type Secrets } from '../../shared/secrets.ts'
import { type IncomingAnswer, send } from '../net/send.ts'
import type { ModelConnection } from '../providers/provider.ts'

/** What a container may say in headers. Everything else is ours. */
const FROM_CONTAINER = [
  'session-id',
  'thread-id',
  'x-codex-turn-state',
  'x-openai-internal-codex-responses-lite',
]

/** What the service may say back: what an answer and its limits are. Cookies, for one, stay on the host. */
const TO_CONTAINER =
  /^(content-type|retry-after|openai-model|x-request-id|x-oai-request-id|x-openai-authorization-error|x-error-json|cf-ray|cf-mitigated|x-models-etag|x-codex-.*|x-[a-z0-9-]+-(primary|secondary)-[a-z-]+|x-[a-z0-9-]+-limit-name)$/

export interface ContainerRequest {
  body: Buffer
  headers: http.IncomingHttpHeaders
  signal: AbortSignal
}

/**
 * Sends a container's request to the service with the real credentials, and the answer back as it
 * comes. A refused token is renewed on the host and the request repeated once, so a run outlives its
 * token.
 * @throws NoAnswerError
 */
export async function sendUpstream(
  connection: ModelConnection,
  request: ContainerRequest,
  response: http.ServerResponse,
): Promise<void> {
  let secrets = await connection.getSecrets()
  let answer = await post(connection, request, secrets)
  if (answer.status === 401) {
    const renewed = await renewedSecrets(connection, secrets)
    if (renewed) {
      answer.body.resume()
      secrets = renewed
      answer = await post(connection, request, secrets)
    }
  }
  response.writeHead(answer.status, allowed(answer.headers))
  // Before the first byte of the body: the wait for it is the longest of all.
  response.flushHeaders()
  if (answer.status === 200) await pipeline(answer.body, response)
  else response.end(masked(await readRefusal(answer), secrets), 'latin1')
}

/** Undefined when there are none: then the refusal itself is the answer. */
async function renewedSecrets(connection: ModelConnection, rejected: Secrets) {
  try {
    const renewed = await connection.getSecrets(rejected.CODEX_ACCESS_TOKEN)
    return renewed.CODEX_ACCESS_TOKEN === rejected.CODEX_ACCESS_TOKEN ? undefined : renewed
  } catch (error) {
    if (error instanceof CodexboxError) return undefined
    throw error
  }
}

/** More than any error has to say. */
const MAX_REFUSAL_BYTES = 64 * 1024

/** As latin1, which is one character for each byte and so loses none. */
async function readRefusal({ body }: IncomingAnswer): Promise<string> {
  let text = ''
  for await (const chunk of body) {
    text += chunk.toString('latin1')
    if (text.length > MAX_REFUSAL_BYTES) break
  }
  return text.slice(0, MAX_REFUSAL_BYTES)
}

/** A refusal that quotes the request must not carry the credentials into the container. */
function masked(text: string, { CODEX_ACCESS_TOKEN: token, CODEX_ACCOUNT_ID: account }: Secrets) {
  const withoutToken = text.replaceAll(token, '<token>')
  return account ? withoutToken.replaceAll(account, '<account>') : withoutToken
}

function post(
  { responsesUrl, headers: identity }: ModelConnection,
  { body, headers, signal }: ContainerRequest,
  secrets: Secrets,
): Promise<IncomingAnswer> {
  const said = FROM_CONTAINER.flatMap((name) => {
    const value = headers[name]
    return typeof value === 'string' ? [[name, value]] : []
  })
  return send(responsesUrl, {
    method: 'POST',
    headers: {
      ...Object.fromEntries(said),
      ...identity,
      accept: 'text/event-stream',
      'content-type': 'application/json',
      ...authorizationHeaders(secrets),
    },
    body,
    signal,
    keepsAlive: true,
    code: 'model-unreachable',
  })
}

function allowed(headers: http.IncomingHttpHeaders): http.OutgoingHttpHeaders {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => TO_CONTAINER.test(name)))
}
