import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import http from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createServer } from 'node:tls'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { accountRoute } from '../../host/auth/account-route.ts'
import type { DueToken } from '../../host/auth/renewal/renew.ts'
import { renewInProcess } from '../../host/auth/renewal/renew-in-process.ts'
import { signInWithDevice } from '../../host/auth/sign-in/device-sign-in.ts'
import { signOut } from '../../host/auth/sign-out.ts'
import { fileTokenStore } from '../../host/auth/token-store.ts'
import { GATEWAY_PATH, openGateway } from '../../host/gateway/gateway.ts'
import { packageRoot } from '../../host/package-root.ts'
import { aModelRequest, someGatewayOptions } from '../fakes/gateway-options.ts'
import { type FakeIssuer, startFakeIssuer } from '../fakes/issuer.ts'
import { startModelServer, textAnswer } from '../fakes/model-server.ts'
import { someTokens } from '../fakes/some-tokens.ts'
import { type ConnectProxy, startConnectProxy } from './connect-proxy.ts'

/** Where everything lies that is not on this machine: only the proxy knows the way. */
const ISSUER = new URL('http://issuer.test')

let issuer: FakeIssuer
let proxy: ConnectProxy
let dataDir: string
const cleanups: (() => Promise<unknown>)[] = []

beforeEach(async () => {
  for (const name of ['http_proxy', 'https_proxy', 'no_proxy', 'HTTPS_PROXY', 'NO_PROXY']) {
    vi.stubEnv(name, '')
  }
  issuer = await startFakeIssuer()
  dataDir = mkdtempSync(join(tmpdir(), 'codexbox-proxy-'))
  await useProxy(Number(issuer.url.port))
})

afterEach(async () => {
  vi.unstubAllEnvs()
  for (const cleanUp of cleanups.splice(0).reverse()) await cleanUp()
  await issuer.close()
  rmSync(dataDir, { recursive: true, force: true })
})

async function useProxy(leadsTo: number) {
  proxy = await startConnectProxy({ leadsTo })
  cleanups.push(proxy.close)
  vi.stubEnv('HTTP_PROXY', proxy.url)
}

async function signedIn() {
  const store = fileTokenStore(dataDir)
  const tokens = someTokens({ ...issuer.grant(), expires_at: 0 })
  await store.replace(tokens)
  return { store, accessToken: tokens.access_token }
}

test('a sign-in by device code goes through the proxy', async () => {
  issuer.device.approved = true
  // What the issuer checks is the address of the page that the code was given to.
  const save = vi.fn(async () => {})
  issuer.exchangeReplies = [{ status: 200, json: issuer.grant() }]

  await signInWithDevice({ issuer: ISSUER, say: () => {}, save })

  expect(save).toHaveBeenCalledOnce()
  expect(new Set(proxy.tunnels)).toEqual(new Set(['issuer.test:80']))
  expect(issuer.requests.map(({ path }) => path.split('/').at(-1))).toEqual([
    'usercode',
    'token',
    'token',
  ])
})

test('a sign-out goes through the proxy', async () => {
  const { store } = await signedIn()

  expect(await signOut({ store, issuer: ISSUER })).toEqual({ status: 'revoked' })
  expect(proxy.tunnels).toEqual(['issuer.test:80'])
})

test('the question for the workspaces goes through the proxy', async () => {
  const routeOf = accountRoute({
    codexBaseUrl: new URL('/backend-api/codex', ISSUER),
    serviceOrigin: ISSUER.origin,
  })

  await routeOf(someTokens())

  expect(proxy.tunnels).toEqual(['issuer.test:80'])
})

test('a renewal in its own process goes through the proxy, by certificates of a private authority', async () => {
  const { store, accessToken } = await signedIn()
  const fixture = (name: string) => join(packageRoot, 'test', 'fixtures', 'net', name)
  const key = readFileSync(fixture('key.pem'))
  const tls = createServer({ key, cert: readFileSync(fixture('certificate.pem')) }, (socket) => {
    socket.on('error', () => {})
    const inner = connect(Number(issuer.url.port), '127.0.0.1').on('error', () => {})
    socket.pipe(inner).pipe(socket)
  })
  tls.listen(0, '127.0.0.1')
  await once(tls, 'listening')
  cleanups.push(async () => tls.close())
  await useProxy((tls.address() as AddressInfo).port)
  // Each with a process of its own, which has the environment of its start.
  const renew = (due: DueToken) =>
    renewInProcess({ dataDir, issuer: new URL('https://service.test') })(due)

  await expect(renew({ accessToken, wasRejected: false })).rejects.toThrow('NODE_EXTRA_CA_CERTS')
  vi.stubEnv('NODE_EXTRA_CA_CERTS', fixture('certificate.pem'))
  await renew({ accessToken, wasRejected: false })

  expect((await store.read())?.access_token).not.toBe(accessToken)
  expect(proxy.tunnels).toEqual(['service.test:443', 'service.test:443'])
  expect(issuer.counts.refresh).toBe(1)
})

/** A gateway to a model service behind the proxy, and a way to ask it. */
async function gatewayTo(port: number) {
  await useProxy(port)
  const gateway = await openGateway(
    {
      responsesUrl: new URL('http://service.test/v1/responses'),
      headers: {},
      settingsFor: () => Promise.reject(new Error('The gateway has no use for them.')),
      owner: 'test',
      getSecrets: async () => ({ CODEX_ACCESS_TOKEN: 'canary-token' }),
      close: async () => {},
    },
    someGatewayOptions(),
  )
  cleanups.push(() => gateway.close())
  return async () => {
    const request = http.request({
      socketPath: join(gateway.socketFolder, 'gateway.sock'),
      path: GATEWAY_PATH,
      method: 'POST',
      headers: { authorization: `Bearer ${gateway.grant('run')}` },
    })
    request.end(aModelRequest())
    const [response] = (await once(request, 'response')) as [http.IncomingMessage]
    return response
  }
}

test('the gateway goes through the proxy and hands the stream on as it comes', async () => {
  const model = await startModelServer([{ body: 'data: first\n\n', fault: 'stall' }])
  cleanups.push(model.close)
  const ask = await gatewayTo(Number(new URL(model.endpoint.url).port))

  const response = await ask()
  const [chunk] = await once(response, 'data')

  expect(String(chunk)).toBe('data: first\n\n')
  expect(response.complete).toBe(false)
  expect(model.requests[0]?.headers).toContainEqual(['authorization', 'Bearer canary-token'])
  response.destroy()
})

test('the gateway keeps its tunnel for the next request of a run', async () => {
  const model = await startModelServer([textAnswer(), textAnswer(), textAnswer()])
  cleanups.push(model.close)
  const ask = await gatewayTo(Number(new URL(model.endpoint.url).port))

  for (let turn = 0; turn < 3; turn++) {
    const response = await ask()
    expect(response.statusCode).toBe(200)
    await once(response.resume(), 'end')
  }

  expect(proxy.tunnels).toEqual(['service.test:80'])
})
