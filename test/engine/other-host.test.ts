import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { text } from 'node:stream/consumers'
import type Dockerode from 'dockerode'
import { afterEach, expect, test } from 'vitest'
import { attach } from '../../host/engine/attach.ts'
import { demultiplex } from '../../host/engine/demultiplex.ts'
import { agentFile } from '../../host/package-root.ts'
import { readEvents } from '../../host/runs/read-events.ts'
import type { RunEvent } from '../../shared/protocol.ts'
import { callsAnswer, type Exchange, textAnswer } from '../fakes/model-server.ts'
import { aRunRequest } from '../fakes/run-request.ts'
import { describeWithEngine, uniqueName } from '../real-engine.ts'
import { cleanUp, later } from './engine-contract.ts'

const PORT = 8000
const TOKEN = 'token-canary-5f1e'

// As hosts start it that know no gateway and no second user: `docker run -i --user 1000 IMAGE node agent.cjs`.
describeWithEngine('the container script, started by another host as a plain user,', (engine) => {
  afterEach(cleanUp)

  test('runs its tools as that user, and says in a sentence that they can read the token', async () => {
    const { events, stderr } = await runOf(engine, [
      callsAnswer(['bash', { command: 'id -u; echo it works' }]),
      textAnswer('Done.'),
    ])

    expect(events[0]).toMatchObject({ type: 'started', toolsIsolated: false })
    expect(events.filter(({ type }) => type === 'notice')).toEqual([
      expect.objectContaining({
        message: expect.stringMatching(
          /^The tools run as the same user .* can read the access token .* name a `worker`/,
        ),
      }),
    ])
    expect(outputsOf(events)).toEqual([expect.stringContaining('1000\nit works\n')])
    expect(events.at(-1)).toMatchObject({ type: 'finished', status: 'done' })
    expect(JSON.stringify(events) + stderr).not.toContain(TOKEN)
  })

  test('opens no inspector for a tool that asks for it', async () => {
    const look = 'sleep 0.3; (: < /dev/tcp/127.0.0.1/9229) 2>&1'
    const { events, stderr } = await runOf(engine, [
      callsAnswer(['bash', { command: `kill -USR1 $(ps -o ppid= -p $PPID) && ${look}` }]),
      callsAnswer(['bash', { command: `kill -USR1 $PPID && ${look}` }]),
      textAnswer('Done.'),
    ])

    expect(outputsOf(events)).toEqual(Array(2).fill(expect.stringContaining('Connection refused')))
    expect(events.at(-1)).toMatchObject({ type: 'finished', status: 'done', toolCalls: 2 })
    // Node announces an inspector here.
    expect(stderr).toBe('')
  })

  test('is refused where it is to keep apart what it cannot', async () => {
    const { events } = await runOf(engine, [], { worker: { uid: 1000, gid: 1000 } })

    expect(events).toMatchObject([
      { type: 'finished', status: 'failed', error: { code: 'image-unusable' } },
    ])
  })
})

// ---- helpers ----

/** A run in a container without a network, in which `script` is what a model answers. */
async function runOf(
  { docker, image }: { docker: Dockerode; image: string },
  script: readonly Exchange[],
  given: Parameters<typeof aRunRequest>[0] = {},
): Promise<{ events: RunEvent[]; stderr: string }> {
  const folder = mkdtempSync(join(tmpdir(), 'codexbox-other-host-'))
  later(() => rmSync(folder, { recursive: true, force: true }))
  chmodSync(folder, 0o755)
  writeFileSync(join(folder, 'model.cjs'), modelOf(script))
  const container = await docker.createContainer({
    name: uniqueName('other-host'),
    Image: image,
    User: '1000:1000',
    Entrypoint: ['sh', '-c', 'node /opt/test/model.cjs & exec node /opt/test-agent.cjs'],
    OpenStdin: true,
    StdinOnce: true,
    AttachStdin: true,
    AttachStdout: true,
    AttachStderr: true,
    HostConfig: {
      Init: true,
      NetworkMode: 'none',
      Ulimits: [{ Name: 'nofile', Soft: 1024, Hard: 1024 }],
      Binds: [`${folder}:/opt/test:ro`, `${agentFile}:/opt/test-agent.cjs:ro`],
    },
  })
  later(() => container.remove({ force: true, v: true }))
  const stream = await attach(docker, container.id, new AbortController().signal)
  const [stdout, stderr] = [new PassThrough(), new PassThrough()]
  const demultiplexed = demultiplex(stream, { stdout, stderr }).finally(() => {
    stdout.end()
    stderr.end()
  })
  const said = text(stderr)
  await container.start()

  const request = aRunRequest({
    workspace: '/tmp',
    secrets: { CODEX_ACCESS_TOKEN: TOKEN },
    endpoint: { url: `http://127.0.0.1:${PORT}/v1/responses` },
    ...given,
  })
  stream.write(`${JSON.stringify(request)}\n`)
  const events: RunEvent[] = []
  for await (const event of readEvents(stdout)) {
    events.push(event)
    if (event.type === 'finished') stream.end()
  }
  await demultiplexed
  return { events, stderr: await said }
}

const outputsOf = (events: readonly RunEvent[]) =>
  events.flatMap((event) =>
    event.type === 'item' && event.item.type === 'function_call_output' ? [event.item.output] : [],
  )

/** A stand-in for the service that gives each request the next answer. */
const modelOf = (script: readonly Exchange[]) => `
const bodies = ${JSON.stringify(script.map(({ body }) => body))}
require('node:http').createServer((request, response) => {
  request.resume().on('end', () => {
    response.writeHead(200, { 'content-type': 'text/event-stream' }).end(bodies.shift())
  })
}).listen(${PORT}, '127.0.0.1')
`
