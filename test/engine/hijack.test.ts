import { once } from 'node:events'
import net, { type AddressInfo, type Socket } from 'node:net'
import Dockerode from 'dockerode'
import { expect, onTestFinished, test } from 'vitest'
import { hijack } from '../../host/engine/hijack.ts'

const UPGRADED = 'HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n'

test('a connection to the engine that is reset before anybody reads it harms nobody', async () => {
  let engine: Socket | undefined
  const server = net.createServer((socket) => {
    engine = socket
    socket.on('error', () => {})
    socket.once('data', () => socket.write(UPGRADED))
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  onTestFinished(() => void server.close())
  const { port } = server.address() as AddressInfo
  const docker = new Dockerode({ protocol: 'http', host: '127.0.0.1', port })
  const stream = await hijack(docker, { path: '/exec/a/start' }, new AbortController().signal)

  const closed = new Promise((resolve) => stream.once('close', resolve))
  engine?.resetAndDestroy()
  await closed

  expect(stream.destroyed).toBe(true)
})
