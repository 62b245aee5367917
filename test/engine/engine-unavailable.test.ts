import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import http from 'node:http'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Dockerode from 'dockerode'
import { afterAll, describe, expect, test } from 'vitest'
import { dockerEngine } from '../../host/engine/docker-engine.ts'
import { removeAbandoned } from '../../host/engine/reaper.ts'
import { CodexboxError } from '../../shared/errors.ts'
import { cleanUp, later } from './engine-contract.ts'

afterAll(cleanUp)

// Some of it is waiting; that is done at the same time.
describe.concurrent('an engine that cannot be used is told within 15 s, in a sentence', () => {
  test('when its socket is not there', async () => {
    const error = await refusalAt('/nonexistent/docker.sock')

    expect(error.message).toMatch(/\(the test\) cannot be used: .*ENOENT.*\. Start Docker/)
  })

  test.for<[what: string, respond: http.RequestListener, says: RegExp]>([
    ['says 404 to everything', (_, response) => response.writeHead(404).end('no'), /HTTP code 404/],
    ['says 500 to everything', (_, response) => response.writeHead(500).end(), /HTTP code 500/],
    [
      'is some web server',
      (_, response) => response.end('<html>'),
      /what answers there is no container engine/,
    ],
    ['hangs up', (_, response) => response.destroy(), /socket hang up/],
    [
      'says OK and then nothing sensible',
      (request, response) => {
        if (request.url === '/_ping') response.end('OK')
        else response.writeHead(503).end('try later')
      },
      /HTTP code 503/,
    ],
  ])('when what listens there %s', async ([, respond, says]) => {
    const error = await refusalAt(await listen(http.createServer(respond)))

    expect(error.message).toMatch(says)
  })

  test('when what listens there speaks no HTTP', async () => {
    const path = await listen(net.createServer((socket) => socket.end('SSH-2.0-OpenSSH_9.9\r\n')))

    expect((await refusalAt(path)).message).toMatch(/cannot be used: .+\. Start Docker/)
  })

  test('when what listens there never answers', async () => {
    const startedAt = performance.now()
    const error = await refusalAt(await listen(net.createServer()))

    expect(error.message).toContain('no answer within 10 s')
    expect(performance.now() - startedAt).toBeLessThan(15_000)
  })
})

describe.concurrent('an engine that cannot be asked what hosts that were killed have left', () => {
  test('is no reason to fail', async () => {
    const docker = new Dockerode({ socketPath: '/nonexistent/docker.sock' })

    expect(await removeAbandoned(docker)).toEqual([])
  })

  test('is not waited for', async () => {
    const docker = new Dockerode({ socketPath: await listen(net.createServer()) })
    const startedAt = performance.now()

    expect(await removeAbandoned(docker)).toEqual([])
    expect(performance.now() - startedAt).toBeLessThan(15_000)
  })
})

// ---- helpers ----

/** What `check` says, which must be an engine that cannot be used. */
async function refusalAt(socketPath: string): Promise<CodexboxError> {
  const engine = dockerEngine(new Dockerode({ socketPath }), 'codexbox-tools:latest', 'the test')
  const error = await engine.check().catch((reason: unknown) => reason)
  if (!(error instanceof CodexboxError)) throw error ?? new Error('It was found fit for use.')
  expect(error.code).toBe('engine-unavailable')
  return error
}

/** Lets a server listen on a socket until the test is over. */
async function listen(server: net.Server): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'codexbox-no-engine-'))
  const path = join(folder, 'docker.sock')
  const open = new Set<net.Socket>()
  server.on('connection', (socket) => open.add(socket.on('error', () => {})))
  server.listen(path)
  await once(server, 'listening')
  later(() => {
    server.close()
    for (const socket of open) socket.destroy()
    rmSync(folder, { recursive: true, force: true })
  })
  return path
}
