/**
 * What the gateway adds to an answer of 50 events, to its last byte: the requests of a conversation straight to a
 * server, by way of the gateway's socket, and by way of a relay that does nothing but pass bytes on, in
 * turns, each end in a process of its own.
 *
 *     ./node_modules/.bin/tsx bench/gateway.ts [rounds]
 *
 * The server answers at once and over plain HTTP, so all that is left of the time is what we add. All of
 * it runs as plain JavaScript, as it does once it is installed: tsx names every function anew each time
 * it is made, which takes 0.02 ms of a request.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import http from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { bodyPolicy } from '../host/gateway/body-policy.ts'
import { firstMessage, openBenchGateway, requestsOf, runPolicy, serveUpstream } from './scene.ts'

const [, file = '', role = '', argument = ''] = process.argv

if (file.endsWith('.ts')) await runBundled()
else if (role === 'upstream') await serveUpstream()
else if (role === 'relay') await serveRelay(argument)
else if (role === 'gateway') await serveGateway(argument)
else await compare(Number(role) || 1500)

async function runBundled() {
  const { build } = await import('esbuild')
  const folder = mkdtempSync(join(tmpdir(), 'codexbox-bench-'))
  const outfile = join(folder, 'gateway.mjs')
  await build({
    entryPoints: [file],
    outfile,
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'esm',
    external: ['esbuild'],
  })
  const child = fork(outfile, process.argv.slice(2), { execArgv: [] })
  const [code] = await once(child, 'exit')
  rmSync(folder, { recursive: true })
  process.exitCode = code ?? 1
}

async function serveGateway(responsesUrl: string) {
  const gateway = await openBenchGateway(responsesUrl)
  process.send?.([join(gateway.socketFolder, 'gateway.sock'), gateway.grant('bench')])
  process.once('disconnect', () => void gateway.close().then(() => process.exit()))
}

/** The least that anything between the two can cost. */
async function serveRelay(url: string) {
  const folder = mkdtempSync(join(tmpdir(), 'codexbox-bench-'))
  const socketPath = join(folder, 'relay.sock')
  const agent = new http.Agent({ keepAlive: true })
  const server = http.createServer((request, response) => {
    const outgoing = http.request(url, { method: 'POST', agent }, (answer) => {
      response.writeHead(answer.statusCode ?? 0, answer.headers)
      answer.pipe(response)
    })
    request.pipe(outgoing)
  })
  server.listen(socketPath)
  await once(server, 'listening')
  process.send?.(socketPath)
  process.once('disconnect', () => {
    rmSync(folder, { recursive: true })
    process.exit()
  })
}

async function compare(rounds: number) {
  const upstream = fork(file, ['upstream'])
  const url = await firstMessage<string>(upstream)
  const host = fork(file, ['gateway', url])
  const [socketPath, capability] = await firstMessage<[string, string]>(host)
  const relay = fork(file, ['relay', url])
  const ways = {
    direct: asker(url, {}),
    relay: asker(url, { socketPath: await firstMessage<string>(relay) }),
    gateway: asker(url, { socketPath, capability }),
  }

  for (const [name, bytes, count] of [
    ['8 KB', 8 * 1024, rounds],
    ['1 MB', 1024 * 1024, Math.ceil(rounds / 20)],
  ] as const) {
    const bodies = requestsOf(bytes)
    const times = { direct: [] as number[], relay: [] as number[], gateway: [] as number[] }
    for (let round = -Math.min(200, count); round < count; round++) {
      const body = bodies[(round + count) % bodies.length] ?? ''
      for (const way of ['direct', 'relay', 'gateway'] as const) {
        const took = await ways[way](body)
        // The first ones warm up.
        if (round >= 0) times[way].push(took)
      }
    }
    const [direct, relayed, ours] = [times.direct, times.relay, times.gateway].map(median)
    console.log(`${name} of request, ${count} rounds, median ms to the last byte:`)
    console.log(`  direct ${ms(direct)}, relay ${ms(relayed)}, gateway ${ms(ours)}`)
    console.log(`  ratio of gateway to direct ${((ours ?? 0) / (direct ?? 1)).toFixed(2)}`)
    console.log(
      `  added: relay ${ms((relayed ?? 0) - (direct ?? 0))}, gateway ${ms((ours ?? 0) - (direct ?? 0))}, ` +
        `of that checking the body ${ms(policyMs(bodies))}`,
    )
  }
  relay.disconnect()
  host.disconnect()
  upstream.kill()
}

interface Way {
  socketPath?: string
  capability?: string
}

/** Asks over one kept connection; resolves with the ms to the last byte. */
function asker(url: string, { socketPath, capability }: Way) {
  const agent = new http.Agent({ keepAlive: true })
  return async (body: string): Promise<number> => {
    const startedAt = performance.now()
    const request = http.request(url, {
      method: 'POST',
      agent,
      ...(socketPath ? { socketPath } : {}),
      headers: {
        'content-type': 'application/json',
        ...(capability ? { authorization: `Bearer ${capability}` } : {}),
      },
    })
    request.end(body)
    const [response] = (await once(request, 'response')) as [http.IncomingMessage]
    response.resume()
    await once(response, 'end')
    if (response.statusCode !== 200) throw new Error(`status ${response.statusCode}`)
    return performance.now() - startedAt
  }
}

function policyMs(bodies: string[]): number {
  const policy = bodyPolicy(runPolicy)
  const times = Array.from({ length: 100 }, () => bodies).flatMap((all) =>
    all.map((body) => {
      const bytes = Buffer.from(body)
      const startedAt = performance.now()
      policy(bytes)
      return performance.now() - startedAt
    }),
  )
  return median(times)
}

function ms(value: number | undefined): string {
  return (value ?? 0).toFixed(3)
}

function median(values: readonly number[]): number {
  return values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)] ?? 0
}
