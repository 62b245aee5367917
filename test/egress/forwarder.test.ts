import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, expect, test } from 'vitest'
import { startAgent } from '../fakes/agent-process.ts'
import { callsAnswer, startModelServer, textAnswer } from '../fakes/model-server.ts'
import { aRunRequest } from '../fakes/run-request.ts'
import { certificate, type EgressBench, openEgressBench, SERVICE } from './egress-bench.ts'

const cleanups: (() => Promise<unknown>)[] = []

afterEach(async () => {
  for (const cleanUp of cleanups.splice(0).reverse()) await cleanUp()
})

async function aBench(): Promise<EgressBench & { authority: string }> {
  const bench = await openEgressBench()
  cleanups.push(() => bench.close())
  const authority = join(dirname(bench.socketPath), 'authority.pem')
  writeFileSync(authority, certificate)
  return { ...bench, authority }
}

/** What a tool of a real agent prints when it runs `command`. */
async function shell(command: string, egressSocketPath?: string): Promise<string> {
  const server = await startModelServer([callsAnswer(['bash', { command }]), textAnswer('Done.')])
  const request = aRunRequest({
    endpoint: server.endpoint,
    ...(egressSocketPath ? { egressSocketPath } : {}),
  })
  const agent = startAgent(request)
  cleanups.push(async () => {
    await agent.stop()
    await server.close()
  })
  await agent.finished()
  return String(server.requests[1]?.body.input.at(-1)?.output)
}

test('without a socket the environment of tools says nothing of a proxy', async () => {
  expect(await shell('env | grep -ic _proxy=')).toContain('output:\n0\n')
})

test('with one it names a port of this machine, in every spelling', async () => {
  const bench = await aBench()

  const printed = await shell('env | grep -i proxy | sort', bench.socketPath)

  const [, port = ''] = /HTTPS_PROXY=http:\/\/127\.0\.0\.1:(\d+)/.exec(printed) ?? []
  const values = {
    http: `http://127.0.0.1:${port}`,
    https: `http://127.0.0.1:${port}`,
    no: 'localhost,127.0.0.1,::1',
  }
  for (const [name, value] of Object.entries(values)) {
    expect(printed).toContain(`\n${name}_proxy=${value}\n`)
    expect(printed).toContain(`${name.toUpperCase()}_PROXY=${value}\n`)
  }
})

test('curl and git go through it by themselves, to listed hosts only', async (t) => {
  const tools = await promisify(execFile)('sh', ['-c', 'command -v curl git']).catch(
    () => undefined,
  )
  if (!tools) return t.skip('there is no curl or no git')
  const bench = await aBench()

  const printed = await shell(
    [
      `curl -sS --cacert ${bench.authority} https://${SERVICE}/by-curl; echo`,
      `GIT_SSL_CAINFO=${bench.authority} git ls-remote https://${SERVICE}/by-git 2>&1`,
      `curl -sS https://evil.example/ 2>&1; curl -sS http://${SERVICE}/ 2>&1`,
    ].join('; '),
    bench.socketPath,
  )

  expect(printed).toContain('served /by-curl\n')
  expect(bench.served).toContain('/by-git/info/refs?service=git-upload-pack')
  expect(printed).toContain('403')
  expect(printed).toContain('plain http is not let through')
  expect(bench.lookups).not.toContain('evil.example')
  expect(bench.targets.map(({ target }) => target)).toContain('evil.example:443')
})
