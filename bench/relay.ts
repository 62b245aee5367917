/**
 * Measures the latency that a container's connection to the gateway adds to a response of 50 events, up to its last
 * byte: by a mounted socket, and by the relay over the engine's exec. The baseline is a request over the container's
 * network. One container alternates between all three; gateway, relay and engine are real.
 *
 *     ./node_modules/.bin/tsx bench/relay.ts [rounds]
 *
 * Needs a container engine whose network is on this machine, and the tools image.
 */
import { fork } from 'node:child_process'
import { chmodSync, copyFileSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { readConfig } from '../host/config.ts'
import { dockerEngine } from '../host/engine/docker-engine.ts'
import { createDocker } from '../host/engine/docker-host.ts'
import { startRelay } from '../host/engine/relay.ts'
import { inside } from '../host/engine/sandbox-policy.ts'
import { bridgeAddress } from '../host/outer/doctor/attack/bridge-relay.ts'
import { agentFile } from '../host/package-root.ts'
import { holdSource, releaseSources } from '../host/workspace/mount-source.ts'
import { socketAddress } from '../shared/socket-address.ts'
import { firstMessage, openBenchGateway, requestsOf, serveUpstream } from './scene.ts'

const [, file = '', role = '', argument = ''] = process.argv

/** The container's script: alternates between the routes, and prints the median and 99th percentile of each. */
const ASKER = `
if (process.argv[2] === 'relay') return require('${inside.workspace}/agent.cjs')
const http = require('node:http')
const { once } = require('node:events')
require('readline').createInterface({ input: process.stdin }).once('line', async (line) => {
  const { ways, bodies, rounds } = JSON.parse(line)
  const names = Object.keys(ways)
  const agents = names.map(() => new http.Agent({ keepAlive: true }))
  const times = Object.fromEntries(names.map((name) => [name, []]))
  for (let round = -200; round < rounds; round++) {
    for (const [index, name] of names.entries()) {
      const { url, socketPath, capability } = ways[name]
      const startedAt = performance.now()
      const request = http.request(url, { method: 'POST', agent: agents[index], socketPath, headers: {
        'content-type': 'application/json', authorization: 'Bearer ' + capability,
      } })
      request.end(bodies[(round + 200) % bodies.length])
      const [response] = await once(request, 'response')
      response.resume()
      await once(response, 'end')
      if (response.statusCode !== 200) throw new Error(name + ': status ' + response.statusCode)
      if (round >= 0) times[name].push(performance.now() - startedAt)
    }
  }
  const at = (all, part) => all.sort((a, b) => a - b)[Math.floor(all.length * part)]
  console.log(JSON.stringify(names.map((name) => [name, at(times[name], 0.5), at(times[name], 0.99)])))
  process.exit()
})
`

async function compare(rounds: number) {
  const { docker, source } = createDocker()
  const upstream = fork(file, ['upstream', await bridgeAddress(docker)])
  const url = await firstMessage<string>(upstream)
  const folder = mkdtempSync(join(tmpdir(), 'codexbox-bench-'))
  // Readable for the relay, which runs as another user.
  chmodSync(folder, 0o755)
  writeFileSync(join(folder, 'asker.cjs'), ASKER)
  copyFileSync(agentFile, join(folder, 'agent.cjs'))
  const workspace = holdSource(realpathSync(folder))
  const gateway = await openBenchGateway(url)
  const name = `codexbox-bench-${process.pid}`
  const { socketFolder } = gateway
  const agent = await dockerEngine(docker, readConfig().image, source).start({
    name,
    agentFile: join(folder, 'asker.cjs'),
    workspace,
    socketFolder,
    network: 'open',
    user: { uid: 1000, gid: 1000 },
  })
  try {
    await startRelay(docker, docker.getContainer(name), { socketFolder, engineLabel: source })
    const capability = gateway.grant('bench')
    const ways = {
      direct: { url, capability },
      'mounted socket': { url, capability, socketPath: inside.socketPath },
      relay: { url, capability, socketPath: socketAddress(inside.relayedSocketPath) },
    }
    agent.stdin.write(`${JSON.stringify({ ways, bodies: requestsOf(8 * 1024), rounds })}\n`)
    const measured = await textOf(agent.stdout)
    if (!measured) throw new Error(agent.stderrTail())
    report(JSON.parse(measured), rounds)
  } finally {
    await agent.stop(0)
    await gateway.close()
    upstream.kill()
    releaseSources([workspace])
    rmSync(folder, { recursive: true })
  }
}

function report(measured: [name: string, median: number, p99: number][], rounds: number) {
  const [, base = 0] = measured[0] ?? []
  console.log(
    `8 KB of request, ${rounds} rounds, ms to the last byte, median (99 %), added to direct:`,
  )
  for (const [name, median, p99] of measured) {
    const added = median - base
    const ratio = (added / base).toFixed(2)
    console.log(
      `  ${name.padEnd(15)} ${median.toFixed(3)} (${p99.toFixed(3)})  +${added.toFixed(3)}, ${ratio} of direct`,
    )
  }
}

async function textOf(stream: Readable): Promise<string> {
  let text = ''
  for await (const chunk of stream) text += chunk
  return text
}

if (role === 'upstream') await serveUpstream(argument)
else await compare(Number(role) || 1500)
