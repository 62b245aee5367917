import { execFile } from 'node:child_process'
import dgram from 'node:dgram'
import { once } from 'node:events'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import net, { type AddressInfo } from 'node:net'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { dockerEngine } from '../../host/engine/docker-engine.ts'
import { GATEWAY_URL } from '../../host/gateway/gateway.ts'
import { DEMO_MODEL } from '../../host/outer/demo/responses-request.ts'
import { EGRESS_SOCKET } from '../../host/outer/egress/open-egress-proxy.ts'
import { cleanUp, later, startAgent, until } from '../engine/engine-contract.ts'
import { aRunRequest } from '../fakes/run-request.ts'
import {
  describeWithEngine,
  type RealEngine,
  uniqueName,
  withoutLeftovers,
} from '../real-engine.ts'
import { certificate, type EgressBench, openEgressBench, SERVICE } from './egress-bench.ts'

describeWithEngine('a tool in a container without a network', (engine) => {
  let shell: Shell

  beforeAll(async () => {
    shell = await startWithNetwork(engine, 'none')
  })
  afterAll(() => endAll(engine))

  test('reaches nothing of this machine: no address, no name, no socket', async () => {
    const host = await listenEverywhere()
    // That there is something to be reached.
    const own = await probe(host.probes)

    const tried = JSON.parse(await shell(probing(host.probes)))

    expect(host.probes.length).toBeGreaterThan(3)
    expect(own.filter(({ came }) => came !== 'connected')).toEqual([])
    expect(host.reached()).toBe(host.probes.length)
    expect(tried).toHaveLength(host.probes.length)
    expect(tried.filter(({ came }: Tried) => came === 'connected')).toEqual([])
  })

  test('has no name service and no proxy', async () => {
    const printed = await shell(`getent hosts ${SERVICE} || echo no-name; env | grep -ic _proxy=`)

    expect(printed).toBe('no-name\n0')
  })
})

describeWithEngine('a tool in a container with a list of hosts', (engine) => {
  let shell: Shell
  let bench: EgressBench

  beforeAll(async () => {
    shell = await startWithNetwork(engine, { allow: [SERVICE] }, (opened) => {
      bench = opened
    })
  })
  afterAll(() => endAll(engine))

  test('has no interface but loopback all the same', async () => {
    expect(await shell('ls /sys/class/net; tail -n +2 /proc/net/route')).toBe('lo')
  })

  test.each([
    ['curl', `curl -sS --cacert ca.pem https://${SERVICE}/by-curl`],
    ['git', `GIT_SSL_CAINFO=ca.pem git ls-remote https://${SERVICE}/by-git 2>&1`],
    [
      'npm',
      `npm_config_cache=/tmp/npm npm view --cafile ca.pem --registry https://${SERVICE}/by-npm --fetch-retries 0 x 2>&1`,
    ],
    [
      'pip',
      `pip download --cert ca.pem --index-url https://${SERVICE}/by-pip/ --retries 0 -d /tmp x 2>&1`,
    ],
    [
      'the pip of a virtual environment',
      `python3 -m venv /tmp/venv && /tmp/venv/bin/pip install --cert ca.pem --index-url https://${SERVICE}/by-pip/ --retries 0 x 2>&1`,
    ],
    [
      'fetch of Node, which has to be told',
      `NODE_USE_ENV_PROXY=1 NODE_EXTRA_CA_CERTS=ca.pem node -e 'fetch("https://${SERVICE}/by-fetch").then(async (r) => console.log(await r.text()))' 2>&1`,
    ],
    [
      'https of Node, likewise',
      `NODE_USE_ENV_PROXY=1 NODE_EXTRA_CA_CERTS=ca.pem node -e 'require("https").get("https://${SERVICE}/by-https", (r) => r.pipe(process.stdout))' 2>&1`,
    ],
    [
      'python',
      `SSL_CERT_FILE=ca.pem python3 -c 'import urllib.request as u; print(u.urlopen("https://${SERVICE}/by-python").read())' 2>&1`,
    ],
  ])('reaches one of them with %s', async (_, command) => {
    const before = bench.served.length

    const printed = await shell(command)

    const served = bench.served.slice(before)
    expect(served.length, printed).toBeGreaterThan(0)
    expect(served.filter((path) => !path.startsWith('/by-'))).toEqual([])
  })

  test('reaches nothing else, and is told why', async () => {
    const { length } = bench.lookups
    const printed = await shell(
      [
        'curl -sS https://evil.example/ 2>&1',
        `curl -sS http://${SERVICE}/ 2>&1`,
        `curl -sS https://${SERVICE}:8443/ 2>&1`,
        'curl -sSk https://169.254.169.254/latest/meta-data/ 2>&1',
        'python3 -c \'import urllib.request as u; u.urlopen("https://evil.example/")\' 2>&1 | tail -1',
      ].join('; '),
    )

    expect(printed.match(/403/g)?.length).toBeGreaterThanOrEqual(4)
    expect(printed).toContain('plain http is not let through')
    expect(printed).toContain('Not allowed by AGENT_NETWORK')
    expect(bench.lookups).toHaveLength(length)
  })

  test('reaches nothing of this machine, neither past the proxy nor through it', async () => {
    const host = await listenEverywhere()
    const through = host.probes
      .filter(({ address }) => address)
      .map(({ address = '', port }) => `${net.isIPv6(address) ? `[${address}]` : address}:${port}`)

    const tried = JSON.parse(await shell(probing(host.probes)))
    const printed = await shell(
      through.map((at) => `curl -sSk --noproxy '' https://${at}/ 2>&1`).join('; '),
    )

    expect(tried).toHaveLength(host.probes.length)
    expect(tried.filter(({ came }: Tried) => came === 'connected')).toEqual([])
    expect(host.reached()).toBe(0)
    expect(printed.match(/403/g)).toHaveLength(through.length)
  })

  test('can neither remove nor replace the socket', async () => {
    expect(await shell(`rm -f /run/codexbox/${EGRESS_SOCKET} 2>/dev/null || echo refused`)).toBe(
      'refused',
    )
  })
})

async function endAll({ docker }: RealEngine): Promise<void> {
  await cleanUp()
  await withoutLeftovers(docker, { label: [`codexbox.pid=${process.pid}`] })
}

type Shell = (command: string) => Promise<string>

/** A container and, where hosts are allowed, a proxy. Resolves with what runs a command as a tool. */
async function startWithNetwork(
  { docker, image, source }: RealEngine,
  network: 'none' | { allow: string[] },
  onBench: (bench: EgressBench) => void = () => {},
): Promise<Shell> {
  const engine = dockerEngine(docker, image, source)
  const isOpen = network !== 'none'
  const inside = await startAgent({
    ...engine,
    async start(spec) {
      if (isOpen && spec.socketFolder) {
        const bench = await openEgressBench({ ...network, folder: spec.socketFolder })
        later(() => bench.close())
        onBench(bench)
      }
      return engine.start({ ...spec, network })
    },
  })
  const { agent, capability, workspace } = inside
  writeFileSync(join(workspace, 'ca.pem'), certificate)
  writeFileSync(join(workspace, 'probe.cjs'), PROBE)
  const { socketPath = '', worker } = agent.view
  let runs = 0
  return async (command) => {
    const run = {
      runId: `run-${++runs}`,
      prompt: `run: { ${command}\n} > /workspace/.printed`,
      secrets: { CODEX_ACCESS_TOKEN: capability },
    }
    if (runs > 1) inside.send({ type: 'prompt', ...run })
    else {
      inside.send(
        aRunRequest({
          ...run,
          model: DEMO_MODEL,
          endpoint: { url: GATEWAY_URL, socketPath },
          workspace: agent.view.workspace,
          ...(isOpen ? { egressSocketPath: socketPath.replace(/[^/]+$/, EGRESS_SOCKET) } : {}),
          ...(worker ? { worker } : {}),
        }),
      )
    }
    await until(inside.events, 'finished')
    const file = join(workspace, '.printed')
    const printed = readFileSync(file, 'utf8')
    rmSync(file)
    return printed.trim()
  }
}

/** One way to something of this machine. */
interface Probe {
  kind: 'tcp' | 'udp' | 'abstract'
  address?: string
  port?: number
  name?: string
}
type Tried = Probe & { came: string }

/** Listens on all addresses of this machine, and on a socket that has no file. */
async function listenEverywhere() {
  let reached = 0
  const server = net.createServer((socket) => {
    reached++
    socket.end()
  })
  server.listen(0, '::')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const datagrams = dgram.createSocket('udp6', (_, { address, port: from }) => {
    reached++
    datagrams.send('heard', from, address)
  })
  datagrams.bind(0, '::')
  await once(datagrams, 'listening')
  const name = `\0${uniqueName('abstract')}`
  const nameless = net.createServer((socket) => {
    reached++
    socket.end()
  })
  nameless.listen(name)
  await once(nameless, 'listening')
  later(() => {
    server.close()
    datagrams.close()
    nameless.close()
  })
  const addresses = Object.values(networkInterfaces())
    .flatMap((each) => each ?? [])
    .filter(({ address }) => !address.startsWith('fe80:'))
    .map(({ address }) => address)
  const probes: Probe[] = [
    ...addresses.map((address) => ({ kind: 'tcp' as const, address, port })),
    ...addresses.map((address) => ({
      kind: 'udp' as const,
      address,
      port: datagrams.address().port,
    })),
    { kind: 'abstract', name },
  ]
  return { probes, reached: () => reached }
}

/** Runs here and in the container: tries each, for two seconds at most. */
const PROBE = `
const net = require('node:net')
const dgram = require('node:dgram')
const attempt = (probe) => new Promise((resolve) => {
  const done = (came) => resolve({ ...probe, came })
  setTimeout(done, 2000, 'silence')
  if (probe.kind === 'udp') {
    const socket = dgram.createSocket(net.isIPv6(probe.address) ? 'udp6' : 'udp4')
    socket.on('message', () => { socket.close(); done('connected') })
    socket.on('error', (error) => done(error.code))
    socket.send('anybody?', probe.port, probe.address, (error) => error && done(error.code))
  } else {
    const { address: host, port, name } = probe
    const socket = net.connect(name ? { path: name } : { host, port })
    socket.on('connect', () => { socket.destroy(); done('connected') })
    socket.on('error', (error) => done(error.code))
  }
})
const probes = JSON.parse(process.argv[2])
Promise.all(probes.map(attempt)).then((tried) => {
  console.log(JSON.stringify(tried))
  process.exit()
})
`

const probing = (probes: Probe[]) => `node probe.cjs '${JSON.stringify(probes)}'`

/** The same from here. */
async function probe(probes: Probe[]): Promise<Tried[]> {
  // With -e, the first argument stands in the place of the script's path.
  const args = ['-e', PROBE, '-', JSON.stringify(probes)]
  const { stdout } = await promisify(execFile)(process.execPath, args)
  return JSON.parse(stdout)
}
