import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import net, { type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { type ConnectionBounds, Connections } from '../../host/net/connections.ts'

/** A server whose connections are bounded; `connect` resolves with both ends of a new one. */
async function openBounded(bounds: ConnectionBounds) {
  const folder = mkdtempSync(join(tmpdir(), 'codexbox-connections-'))
  const server = net.createServer((socket) => socket.on('error', () => {}))
  const connections = new Connections(server, bounds)
  const path = join(folder, 'socket')
  await once(server.listen(path), 'listening')
  onTestFinished(() => {
    connections.destroyAll()
    server.close()
    rmSync(folder, { recursive: true, force: true })
  })
  const connect = async () => {
    const accepted = once(server, 'connection') as Promise<[Socket]>
    const client = net.connect(path).on('error', () => {})
    onTestFinished(() => void client.destroy())
    const [socket] = await accepted
    return socket
  }
  return { connections, connect }
}

const HOUR = 3_600_000

test('the oldest connection that is not in use makes room for a new one', async () => {
  const { connections, connect } = await openBounded({ connections: 3, unusedMs: HOUR })
  const all = [await connect()]
  connections.use(all[0] as Socket, () => true)

  for (let count = 0; count < 4; count++) all.push(await connect())

  expect(all.map(({ destroyed }) => destroyed)).toEqual([false, true, true, false, false])
})

test('where all are in use, a new one is not taken, until one of them is out of use', async () => {
  const { connections, connect } = await openBounded({ connections: 2, unusedMs: HOUR })
  let isInUse = true
  const used = [await connect(), await connect()]
  for (const socket of used) connections.use(socket, () => isInUse)

  const refused = await connect()
  isInUse = false
  const taken = await connect()

  expect(refused.destroyed).toBe(true)
  expect(taken.destroyed).toBe(false)
  expect(used.map(({ destroyed }) => destroyed)).toEqual([true, false])
})

test('one that is not in use is dropped after a time, and one that was some time later', async () => {
  const { connections, connect } = await openBounded({ connections: 9, unusedMs: 50 })
  const [unused, used] = [await connect(), await connect()]
  let isInUse = true
  let looks = 0
  connections.use(used, () => {
    looks++
    return isInUse
  })

  await once(unused, 'close')
  while (looks < 3) await new Promise((resolve) => setTimeout(resolve, 5))
  expect(used.destroyed).toBe(false)
  isInUse = false

  await once(used, 'close')
})
