import { randomBytes, timingSafeEqual } from 'node:crypto'
import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises'
import http from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CodexboxError, messageOf } from '../../shared/errors.ts'
import { UPSTREAM_UNREACHABLE } from '../../shared/gateway-errors.ts'
import type { ModelConnection } from '../providers/provider.ts'
import { sendUpstream } from './upstream.ts'

/** The one thing a container can ask for. The host name means nothing: it is reached by its socket. */
export const GATEWAY_PATH = '/v1/responses'
export const GATEWAY_URL = `http://gateway${GATEWAY_PATH}`

/** The history of a long conversation with images. */
const MAX_BODY_BYTES = 64 * 1024 * 1024

export interface Gateway {
  /** Holds `gateway.sock`; to be mounted as a folder, read-only. */
  readonly socketFolder: string
  /** A 256-bit capability that lets its holder ask the model, until it is revoked. */
  grant(): string
  revoke(capability: string): void
  close(): Promise<void>
}

/**
 * The host's end of sealed mode: a unix socket for one conversation. It takes the one method and path
 * from whoever has a live capability, puts the real credentials on, and hands the stream through.
 * What a container sends beside the body and the turn state never reaches the service.
 */
export async function openGateway(connection: ModelConnection): Promise<Gateway> {
  const capabilities = new Set<string>()
  const server = http.createServer((request, response) => {
    serve(request, response, { connection, capabilities }).catch((error: unknown) => {
      const isSignedOut = error instanceof CodexboxError && error.code === 'not-signed-in'
      refuse(response, isSignedOut ? 401 : 502, UPSTREAM_UNREACHABLE, messageOf(error))
    })
  })
  // A container cannot hold connections open half said.
  server.headersTimeout = 10_000
  server.requestTimeout = 60_000

  // Short, since a socket's path may have 107 bytes; private, since the socket itself is not: its
  // folder is mounted, and the agent in the container is another user than we are.
  const folder = await mkdtemp(join(tmpdir(), 'codexbox-'))
  const socketFolder = join(folder, 's')
  await mkdir(socketFolder, { mode: 0o755 })
  const socketPath = join(socketFolder, 'gateway.sock')
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(socketPath, resolve)
  })
  await chmod(socketPath, 0o666)

  return {
    socketFolder,
    grant() {
      const capability = randomBytes(32).toString('base64url')
      capabilities.add(capability)
      return capability
    },
    revoke(capability) {
      capabilities.delete(capability)
    },
    async close() {
      capabilities.clear()
      const closed = new Promise((resolve) => server.close(resolve))
      server.closeAllConnections()
      await closed
      await rm(folder, { recursive: true, force: true })
    },
  }
}

async function serve(
  request: http.IncomingMessage,
  response: http.ServerResponse,
  { connection, capabilities }: { connection: ModelConnection; capabilities: Set<string> },
): Promise<void> {
  if (request.method !== 'POST' || request.url !== GATEWAY_PATH) {
    return refuse(response, 404, 'not_found', `Only POST ${GATEWAY_PATH} is served here.`)
  }
  if (!isGranted(request.headers.authorization, capabilities)) {
    return refuse(response, 403, 'capability_refused', 'This capability is not or no longer good.')
  }
  const body = await readBody(request)
  if (!body) {
    return refuse(response, 413, 'too_large', `A request may have ${MAX_BODY_BYTES} bytes.`)
  }
  // The container went away: what it asked for is not wanted any more.
  const gone = new AbortController()
  response.once('close', () => gone.abort())
  await sendUpstream(connection, { body, headers: request.headers, signal: gone.signal }, response)
}

function isGranted(authorization: string | undefined, capabilities: Set<string>): boolean {
  const given = Buffer.from(authorization ?? '')
  // All are compared, each in constant time, so that the time tells nothing.
  return (
    [...capabilities].filter((capability) => {
      const wanted = Buffer.from(`Bearer ${capability}`)
      return given.length === wanted.length && timingSafeEqual(given, wanted)
    }).length > 0
  )
}

/**
 * Whole in memory: after a 401 it is sent a second time. Undefined: larger than is allowed. That one
 * is read to its end too, though not kept: who is cut off while writing does not see the answer.
 */
async function readBody(request: http.IncomingMessage): Promise<Buffer | undefined> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of request) {
    bytes += chunk.length
    if (bytes <= MAX_BODY_BYTES) chunks.push(chunk)
    else chunks.length = 0
  }
  return bytes <= MAX_BODY_BYTES ? Buffer.concat(chunks) : undefined
}

/** In the service's own error form, so that the container has one way to read errors. */
function refuse(response: http.ServerResponse, status: number, code: string, message: string) {
  if (response.headersSent) {
    response.destroy()
    return
  }
  // The connection stays: closed with a part of the request unread, it would take the answer along.
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(JSON.stringify({ error: { code, message } }))
}
