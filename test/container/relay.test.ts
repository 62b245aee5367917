import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import http from 'node:http'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { agentFile } from '../../host/package-root.ts'
import { frameHead } from '../../shared/frames.ts'
import { Multiplexer } from '../../shared/multiplexer.ts'
import { socketAddress } from '../../shared/socket-address.ts'

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
