import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { openDebugLog } from '../../host/debug-log.ts'
import { openRequestLog } from '../../host/gateway/request-log.ts'
import { textAnswer } from '../fakes/model-server.ts'
import { closeAll, post, withModel } from './gateway-scene.ts'

afterEach(closeAll)

test('a connection that says nothing shows that the socket can be reached, and is nothing else', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'codexbox-reached-'))
  t.onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  const requestLog = openRequestLog(folder)
  const debug = openDebugLog(join(folder, 'debug.log'))
  const { gateway, model } = await withModel([textAnswer()], { requestLog, debug })
  let isReached = false
  void gateway.reached.then(() => {
    isReached = true
  })
  await new Promise((resolve) => setImmediate(resolve))
  expect(isReached).toBe(false)

  const socket = net.connect(join(gateway.socketFolder, 'gateway.sock'))
  await once(socket, 'connect')
  socket.destroy()
  await gateway.reached

  expect(model.requests).toEqual([])
  expect(gateway.usageOf('run')).toBeUndefined()
  const written = () =>
    readdirSync(folder)
      .map((name) => readFileSync(join(folder, name), 'utf8'))
      .join('')
  expect(written()).toBe('')
  expect(await post(gateway)).toMatchObject({ status: 200 })
  requestLog.close()
  debug.close()
  // That the books are those in which it would have stood.
  expect(written()).not.toBe('')
})
