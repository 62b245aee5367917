/**
 * Measures the latency that the gateway adds to a response of 50 events, up to its last byte. Sends the requests of
 * a conversation alternately to a server directly, through the gateway's socket, and through a relay that only
 * copies bytes. Client, server, gateway and relay are separate processes.
 *
 *     ./node_modules/.bin/tsx bench/gateway.ts [rounds]
 *
 * The server answers at once and over plain HTTP, so the rest of the time is the gateway's. The code runs
 * bundled as JavaScript, as when installed: tsx sets the name of each function on every creation, which
 * takes 0.02 ms of a request.
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

/** The lower bound for any process between client and server. */
async function serveRelay(url: string) {
  const folder = mkdtempSync(join(tmpdir(), 'codexbox-bench-'))
  const socketPath = join(folder, 'relay.sock')
  const agent = new http.Agent({ keepAlive: true })
  const server = http.createServer((request, response) => {
    const outgoing = http.request(url, { method: 'POST', agent }, (upstream) => {
      response.writeHead(upstream.statusCode ?? 0, upstream.headers)
      upstream.pipe(response)
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
  const clients = {
    direct: clientOf(url, {}),
    relay: clientOf(url, { socketPath: await firstMessage<string>(relay) }),
    gateway: clientOf(url, { socketPath, capability }),
  }

  for (const [name, bytes, count] of [
    ['8 KB', 8 * 1024, rounds],
    ['1 MB', 1024 * 1024, Math.ceil(rounds / 20)],
  ] as const) {
    const bodies = requestsOf(bytes)
    const times = { direct: [] as number[], relay: [] as number[], gateway: [] as number[] }
    for (let round = -Math.min(200, count); round < count; round++) {
      const body = bodies[(round + count) % bodies.length] ?? ''
      for (const route of ['direct', 'relay', 'gateway'] as const) {
        const elapsedMs = await clients[route](body)
        // Negative rounds warm up.
        if (round >= 0) times[route].push(elapsedMs)
      }
    }
    const [direct, viaRelay, viaGateway] = [times.direct, times.relay, times.gateway].map(median)
    console.log(`${name} of request, ${count} rounds, median ms to the last byte:`)
    console.log(`  direct ${ms(direct)}, relay ${ms(viaRelay)}, gateway ${ms(viaGateway)}`)
    console.log(`  ratio of gateway to direct ${((viaGateway ?? 0) / (direct ?? 1)).toFixed(2)}`)
    console.log(
      `  added: relay ${ms((viaRelay ?? 0) - (direct ?? 0))}, gateway ${ms((viaGateway ?? 0) - (direct ?? 0))}, ` +
        `of that checking the body ${ms(policyMs(bodies))}`,
    )
  }
  relay.disconnect()
  host.disconnect()
  upstream.kill()
}

interface Route {
  socketPath?: string
  capability?: string
}

/** Sends requests over one keep-alive connection; resolves with the ms to the last byte. */
function clientOf(url: string, { socketPath, capability }: Route) {
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
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0
}
