import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import http from 'node:http'
import net, { type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { afterEach, beforeEach, expect, onTestFinished, test } from 'vitest'
import { ModelClient } from '../../container/agent/model-client.ts'
import { openGateway } from '../../host/gateway/gateway.ts'
import { agentFile } from '../../host/package-root.ts'
import { frameHead } from '../../shared/frames.ts'
import { Multiplexer } from '../../shared/multiplexer.ts'
import { socketAddress } from '../../shared/socket-address.ts'
import { startFlood } from '../fakes/flood.ts'
import { aModelRequest, someGatewayOptions } from '../fakes/gateway-options.ts'

let root: string
/** Where the relay listens. No folder, but a part of names. */
let folder: string
let relay: ChildProcessWithoutNullStreams

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'codexbox-relay-'))
  folder = `@${basename(root)}`
})
afterEach(async () => {
  try {
    // With what holds its names.
    process.kill(-Number(relay.pid), 'SIGKILL')
  } catch {
    // Nothing is left of it.
  }
  rmSync(root, { recursive: true, force: true })
})

/** The container script as the relay, with the host's end of it. Resolves when it is ready. */
async function startRelay(names: string[], onOpen: (place: number) => net.Socket) {
  relay = spawn(process.execPath, [agentFile, 'relay', folder, ...names], { detached: true })
  relay.stdin.on('error', () => {}) // Told by its exit.
  const broken: string[] = []
  await new Promise<void>((resolve) => {
    const host = new Multiplexer({
      output: relay.stdin,
      onOpen,
      onReady: resolve,
      onBroken: ({ message }) => broken.push(message),
    })
    relay.stdout.on('data', (chunk: Buffer) => host.receive(chunk))
  })
  return { broken }
}

test('carries requests to the place of the socket that they came by', async (t) => {
  const servers = await Promise.all(
    ['first', 'second'].map(async (name) => {
      const server = http.createServer((request, response) => {
        request.pipe(response.writeHead(200, { from: name }))
      })
      t.onTestFinished(() => void server.close())
      await once(server.listen(join(root, `${name}.sock`)), 'listening')
      return join(root, `${name}.sock`)
    }),
  )
  const { broken } = await startRelay(['one.sock', 'two.sock'], (place) =>
    net.connect({ path: servers[place] ?? '', allowHalfOpen: true }),
  )

  const answers = await Promise.all(
    ['one', 'two', 'one'].map(async (name, index) => {
      const request = http.request({
        socketPath: socketAddress(`${folder}/${name}.sock`),
        method: 'POST',
      })
      const body = String(index).repeat(1_000_000)
      request.end(body)
      const [response] = (await once(request, 'response')) as [http.IncomingMessage]
      let text = ''
      for await (const chunk of response) text += chunk
      return [response.headers.from, text === body]
    }),
  )

  expect(answers).toEqual([
    ['first', true],
    ['second', true],
    ['first', true],
  ])
  expect(broken).toEqual([])
})

test('leaves its names to nobody, even when it is killed', async () => {
  await startRelay(['one.sock', 'two.sock'], () => net.connect('/nowhere'))

  relay.kill('SIGKILL')
  await once(relay, 'exit')

  for (const name of ['one', 'two']) {
    const other = net.createServer().listen(socketAddress(`${folder}/${name}.sock`))
    // A server that listens would emit no error.
    const [error] = await Promise.race([once(other, 'error'), once(other, 'listening')])
    other.close()
    expect(error).toMatchObject({ code: 'EADDRINUSE' })
  }
})

test('leaves when its stdin ends', async () => {
  await startRelay(['one.sock'], () => net.connect('/nowhere'))

  relay.stdin.end()

  expect(await once(relay, 'exit')).toEqual([0, null])
})

test('leaves when the host asks for what only it may ask for', async () => {
  await startRelay(['one.sock'], () => net.connect('/nowhere'))
  let said = ''
  relay.stderr.on('data', (chunk: Buffer) => {
    said += chunk
  })

  relay.stdin.write(frameHead('open', 1, 0))

  expect(await once(relay, 'exit')).toEqual([1, null])
  expect(said).toContain('a connection from the side that opens none')
})

test('says why it cannot listen, and ends', async (t) => {
  const first = net.createServer()
  t.onTestFinished(() => void first.close())
  await once(first.listen(socketAddress(`${folder}/one.sock`)), 'listening')
  relay = spawn(process.execPath, [agentFile, 'relay', folder, 'one.sock'], { detached: true })
  let said = ''
  relay.stderr.on('data', (chunk: Buffer) => {
    said += chunk
  })

  const [code] = await once(relay, 'exit')

  expect(code).not.toBe(0)
  expect(said).toContain('EADDRINUSE')
})

test('an agent that is told of a socket goes there first, and minds nothing', async (t) => {
  const came: string[] = []
  const server = net.createServer((socket) => {
    came.push('a connection')
    socket.once('data', () => came.push('data'))
    socket.once('close', () => came.push('its end'))
  })
  t.onTestFinished(() => void server.close())
  await once(server.listen(join(root, 'gateway.sock')), 'listening')
  const start = (path: string) => {
    relay = spawn(process.execPath, [agentFile, 'agent', path], { detached: true })
    return relay
  }

  // Before anything is on its stdin.
  const agent = start(join(root, 'gateway.sock'))
  const [socket] = (await once(server, 'connection')) as [net.Socket]
  await once(socket, 'close')
  agent.stdin.end()
  await once(agent, 'exit')
  const other = start(join(root, 'nothing-there.sock'))
  other.stdin.end()

  expect(await once(other, 'exit')).toEqual([2, null])
  expect(came).toEqual(['a connection', 'its end'])
})

/** The real gateway at the relay's other end, and an agent that connects anew for each request. */
async function openRelayedGateway() {
  const upstream = http.createServer((request, response) => {
    request.resume().once('end', () => response.end('data: {}\n\n'))
  })
  await once(upstream.listen(0, '127.0.0.1'), 'listening')
  onTestFinished(() => {
    upstream.closeAllConnections()
    upstream.close()
  })
  const { port } = upstream.address() as AddressInfo
  const gateway = await openGateway(
    {
      responsesUrl: new URL(`http://127.0.0.1:${port}/`),
      headers: {},
      settingsFor: () => Promise.reject(new Error('The gateway has no use for them.')),
      owner: 'test',
      getSecrets: async () => ({ CODEX_ACCESS_TOKEN: 'token' }),
      close: async () => {},
    },
    someGatewayOptions(),
  )
  onTestFinished(() => gateway.close())
  const { broken } = await startRelay(['gateway.sock'], () =>
    net.connect({ path: join(gateway.socketFolder, 'gateway.sock'), allowHalfOpen: true }),
  )
  const socketPath = `${folder}/gateway.sock`
  const endpoint = { url: 'http://gateway/v1/responses', socketPath, headers: {} }
  const secrets = { CODEX_ACCESS_TOKEN: gateway.grant('run') }
  const ask = async () => {
    const client = new ModelClient({ endpoint, conversationId: 'conversation-1' })
    const signal = AbortSignal.timeout(20_000)
    const answer = await client
      .post({ secrets, headers: {}, body: aModelRequest(), signal })
      .catch((error: NodeJS.ErrnoException) => ({ status: error.code ?? error.name }))
    if ('chunks' in answer) for await (const _ of answer.chunks);
    client.close()
    return answer.status
  }
  return { socketPath, ask, broken }
}

test('however many connect and keep still, the agent gets its answers', async () => {
  const { socketPath, ask, broken } = await openRelayedGateway()
  const statuses: unknown[] = []

  for (let count = 1; count <= 1000; count++) {
    // It stays open when the other end has closed.
    const socket = net.connect({ path: socketAddress(socketPath), allowHalfOpen: true })
    onTestFinished(() => void socket.destroy())
    socket.on('error', () => {})
    if (count % 100 === 0) statuses.push(await ask())
  }

  expect(statuses).toEqual(Array(10).fill('streaming'))
  expect(broken).toEqual([])
})

test.each(['stays', 'leaves'] as const)(
  'so it does in a flood of what %s',
  async (how) => {
    const { socketPath, ask, broken } = await openRelayedGateway()
    const flood = await startFlood(socketPath, how)
    onTestFinished(flood.stop)
    const statuses: unknown[] = []

    for (let count = 0; count < 10; count++) statuses.push(await ask())

    expect(statuses).toEqual(Array(10).fill('streaming'))
    expect(flood.connects).toBeGreaterThan(1000)
    expect(broken).toEqual([])
  },
  60_000,
)
