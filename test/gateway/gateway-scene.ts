import { once } from 'node:events'
import http from 'node:http'
import net, { type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { expect } from 'vitest'
import { type Gateway, openGateway } from '../../host/gateway/gateway.ts'
import type { ModelConnection } from '../../host/providers/provider.ts'
import type { Secrets } from '../../shared/secrets.ts'
import { aModelRequest, someGatewayOptions } from '../fakes/gateway-options.ts'
import { type Exchange, startModelServer } from '../fakes/model-server.ts'

/** Stands in everything that must never come out of the gateway. */
export const CANARY = 'canary-4f1c'
export const REAL: Secrets = {
  CODEX_ACCESS_TOKEN: `${CANARY}-token-1`,
  CODEX_ACCOUNT_ID: `${CANARY}-account`,
}

const cleanups: (() => Promise<unknown>)[] = []
/** All that clients of a gateway got to see. */
let seen = ''

/** Closes what a test has opened, and sees that no credential has come out. For `afterEach`. */
export async function closeAll(): Promise<void> {
  for (const cleanUp of cleanups.splice(0).reverse()) await cleanUp()
  const shown = seen
  seen = ''
  expect(shown).not.toContain(CANARY)
}

export const says = (text: string) => ({
  type: 'message',
  role: 'user',
  content: [{ type: 'input_text', text }],
})

export interface Call {
  /** Default: a fresh one. */
  capability?: string | undefined
  headers?: http.OutgoingHttpHeaders
  body?: string | Buffer
}

interface Reply {
  status: number | undefined
  headers: http.IncomingHttpHeaders
  body: Buffer
  text: string
}

interface OpenOptions extends NonNullable<Parameters<typeof someGatewayOptions>[0]> {
  getSecrets?: ModelConnection['getSecrets']
  takesZstd?: boolean
}

export async function open(
  responsesUrl: URL,
  { getSecrets = async () => REAL, takesZstd = false, ...options }: OpenOptions = {},
): Promise<Gateway> {
  const connection = {
    responsesUrl,
    headers: { originator: 'codexbox', 'user-agent': 'codexbox/test' },
    settingsFor: () => Promise.reject(new Error('The gateway has no use for them.')),
    takesZstd,
    owner: 'test',
    getSecrets,
    close: async () => {},
  }
  const gateway = await openGateway(connection, someGatewayOptions(options))
  cleanups.push(() => gateway.close())
  return gateway
}

/** A gateway to a scripted model; the whole script must have been asked for in the end. */
export async function withModel(script: Exchange[], options?: OpenOptions) {
  const model = await startModelServer(script)
  cleanups.push(async () => {
    await model.close()
    expect({ left: model.left, unscripted: model.unscripted }).toEqual({ left: 0, unscripted: 0 })
  })
  const gateway = await open(new URL(model.endpoint.url), options)
  return { model, gateway }
}

/** An upstream whose every byte and every connection counts. */
export async function startUpstream(
  answer: (request: http.IncomingMessage, response: http.ServerResponse) => void,
) {
  const requests: { headers: http.IncomingHttpHeaders; body: Buffer }[] = []
  const responses: http.ServerResponse[] = []
  const server = http.createServer(async (request, response) => {
    responses.push(response)
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    requests.push({ headers: request.headers, body: Buffer.concat(chunks) })
    answer(request, response)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/responses`)
  const close = async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
  cleanups.push(close)
  return { url, server, requests, responses, close }
}

export function begin(gateway: Gateway, call: Call): http.ClientRequest {
  const capability = 'capability' in call ? call.capability : gateway.grant('run')
  return http.request('http://gateway/v1/responses', {
    socketPath: join(gateway.socketFolder, 'gateway.sock'),
    method: 'POST',
    headers: { ...(capability && { authorization: `Bearer ${capability}` }), ...call.headers },
  })
}

/** Resolves with the head of the answer; what comes of the body is recorded. */
export async function send(gateway: Gateway, call: Call = {}) {
  const request = begin(gateway, call)
  const { body = aModelRequest() } = call
  request.setHeader('content-length', Buffer.byteLength(body))
  request.end(body)
  const [response] = (await once(request, 'response')) as [http.IncomingMessage]
  seen += JSON.stringify(response.rawHeaders)
  return { request, response }
}

export async function post(gateway: Gateway, call: Call = {}): Promise<Reply> {
  const { response } = await send(gateway, call)
  const chunks: Buffer[] = []
  for await (const chunk of response) chunks.push(chunk)
  const body = Buffer.concat(chunks)
  seen += body
  return { status: response.statusCode, headers: response.headers, body, text: String(body) }
}

/** Writes `bytes` as they are; resolves with all that came until the other end closed. */
export async function sendRaw(gateway: Gateway, bytes: string): Promise<string> {
  const socket = net.connect(join(gateway.socketFolder, 'gateway.sock'))
  let answer = ''
  socket.setEncoding('latin1').on('data', (text: string) => {
    answer += text
  })
  socket.on('error', () => {}) // A reset is one way of being refused.
  socket.write(bytes, 'latin1')
  // `once` of node:events would take the reset for a failure.
  await new Promise((resolve) => socket.once('close', resolve))
  seen += answer
  return answer
}
