import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { z } from 'zod'
import { messageOf } from '../../../../shared/errors.ts'
import { socketAddress } from '../../../../shared/socket-address.ts'
import { quote } from '../../../../shared/visible-text.ts'
import { dockerEngine } from '../../../engine/docker-engine.ts'
import type { AgentProcess, Engine } from '../../../engine/engine.ts'
import { inside } from '../../../engine/sandbox-policy.ts'
import { agentFile as agentFileOfPackage, reportFile } from '../../../package-root.ts'
import { addSharedFolder, makeOwnedTempFolder } from '../../../storage/owned-temp-folder.ts'
import { holdSource, releaseSources } from '../../../workspace/mount-source.ts'
import { type Check, type Finding, ok, problem, warning } from '../finding.ts'
import { isInContainer } from '../in-container.ts'
import { withEngine } from './with-engine.ts'

/** Starts a container as a run would, and checks that it sees the host's files and reaches its socket. */
export const sandboxCheck: Check = {
  name: 'sandbox',
  look(machine, signal) {
    const { engine, image } = machine.config
    if (engine === 'process') return warning('There is none with AGENT_ENGINE=process.')
    return withEngine(machine, (docker, source) =>
      probe(dockerEngine(docker, image, source), signal),
    )
  },
}

async function probe(engine: Engine, signal: AbortSignal): Promise<Finding> {
  const setUp = await layOut()
  let agent: AgentProcess | undefined
  const stop = () => void agent?.stop(0)
  signal.addEventListener('abort', stop)
  try {
    agent = await engine.start(setUp.spec)
    if (signal.aborted) stop()
    const { socketPath } = agent.view
    // Stdin stays open: some connections to an engine cannot half-close.
    agent.stdin.write(`${JSON.stringify(socketPath && socketAddress(socketPath))}\n`)
    return judge(await outputOf(agent), setUp.word, agent.relayed)
  } catch (error) {
    return notStarted(error)
  } finally {
    await agent?.stop(0)
    await setUp.close()
  }
}

/**
 * In syntax for any Node, since it reports the version. Like the agent, it first probes the mounted socket, if
 * there is one; the address to connect to arrives on stdin.
 */
const PROBE = `
if (process.argv[2] === 'relay') return require('${inside.workspace}/agent.cjs')
var fs = require('fs'), net = require('net'), seen = { node: process.versions.node }
if (process.argv[3]) net.connect(process.argv[3]).on('error', function () {}).unref()
var bash = require('child_process').spawnSync('bash', ['-c', 'echo "$BASH_VERSION"'])
seen.bash = String(bash.stdout || '').trim()
// Node cannot make this address family, so python3 and perl try; the engine's filter treats all programs alike.
var vsock = [['python3', '-c', 'import socket; socket.socket(40, socket.SOCK_STREAM)'], ['perl', '-e', 'socket(S, 40, 1, 0) || exit 1']]
seen.vsock = vsock.map(function (words) { return require('child_process').spawnSync(words[0], words.slice(1)).status })
try { seen.file = fs.readFileSync('${inside.workspace}/word', 'utf8') } catch (error) { seen.file = '' }
seen.socket = ''
function end() { console.log(JSON.stringify(seen)); process.exit(0) }
process.stdin.once('data', function (line) {
  var socket = net.connect(JSON.parse(line))
  socket.on('data', function (data) { seen.socket += data })
  socket.on('error', end)
  socket.on('end', end)
})
`

const ProbeReport = z.object({
  node: z.string(),
  bash: z.string(),
  file: z.string(),
  socket: z.string(),
  /** The exit code of each program; null when it is missing. */
  vsock: z.array(z.number().nullable()),
})

const MIN_NODE = 20

async function layOut() {
  const root = makeOwnedTempFolder()
  const word = randomBytes(8).toString('hex')
  const [workspace, socketFolder] = [addSharedFolder(root, 'w'), addSharedFolder(root, 's')]
  const agentFile = join(root, 'probe.cjs')
  writeFileSync(join(workspace, 'word'), word)
  copyFileSync(agentFileOfPackage, join(workspace, 'agent.cjs'))
  writeFileSync(agentFile, `${readFileSync(reportFile, 'utf8')}\n${PROBE}`)
  // Independent of the umask: the container's root has no capabilities and needs the read bits.
  const inContainer = [agentFile, join(workspace, 'agent.cjs'), join(workspace, 'word')]
  for (const file of inContainer) chmodSync(file, 0o644)
  if (process.getuid?.() === 0) chownSync(workspace, TOOL_USER.uid, TOOL_USER.gid)
  const server = createServer((socket) => socket.end(word))
  const reached = new Promise<void>((resolve) => server.once('connection', () => resolve()))
  server.listen(join(socketFolder, 'gateway.sock'))
  await once(server, 'listening')
  chmodSync(join(socketFolder, 'gateway.sock'), 0o666)
  const mountSource = holdSource(realpathSync(workspace))
  const uid = process.getuid?.()
  const gid = process.getgid?.()
  return {
    word,
    spec: {
      name: `codexbox-probe-${randomBytes(6).toString('hex')}`,
      agentFile,
      workspace: mountSource,
      socketFolder,
      reached,
      network: 'none' as const,
      user: uid && gid !== undefined ? { uid, gid } : TOOL_USER,
    },
    async close() {
      releaseSources([mountSource])
      await new Promise((resolve) => server.close(resolve))
      rmSync(root, { recursive: true, force: true })
    },
  }
}

/** Any user but root. */
const TOOL_USER = { uid: 1000, gid: 1000 }

async function outputOf({ stdout, exited, stderrTail }: AgentProcess): Promise<string> {
  let text = ''
  for await (const chunk of stdout) text += chunk
  const exit = await exited
  if (text === '' && 'lost' in exit && exit.error) throw exit.error
  return text || stderrTail()
}

function judge(output: string, word: string, relayed: AgentProcess['relayed']): Finding {
  let report: z.infer<typeof ProbeReport>
  try {
    report = ProbeReport.parse(JSON.parse(output))
  } catch {
    return problem(`A container started and said only: ${output ? quote(output) : 'nothing'}`)
  }
  const { node, bash, file, socket, vsock } = report
  if (Number.parseInt(node, 10) < MIN_NODE || !bash) {
    return problem(
      `The image has Node ${node} and ${bash ? `bash ${bash}` : 'no bash'}.`,
      `Use one with Node ${MIN_NODE} or newer and bash.`,
    )
  }
  if (file !== word) return problem('A container sees another folder than this one.', elsewhere())
  if (socket !== word) {
    return problem(
      'A container starts and sees our folders, but does not reach us.',
      'Run codexbox on the machine of the engine.',
    )
  }
  const way = relayed ? `by a relay, since ${relayed.because}` : 'by a mounted socket'
  return ok(
    `A container starts as asked for, with Node ${node} and bash ${bash}, and reaches us ${way}. ${aboutVsock(vsock)}`,
  )
}

/** A vsock connects a virtual machine to its host; `network none` does not block it. */
function aboutVsock(codes: (number | null)[]): string {
  const code = codes.find((code) => code !== null)
  if (code === undefined)
    return 'Whether its tools can make vsock sockets, it has no means to tell.'
  return code === 0
    ? 'Its tools can make vsock sockets, a way to the host of a virtual machine that no network setting cuts.'
    : 'Its tools cannot make vsock sockets.'
}

function notStarted(error: unknown): Finding {
  const message = messageOf(error)
  if (/source path does not exist|no such file or directory/i.test(message)) {
    return problem(`The engine does not find our files: ${message}`, elsewhere())
  }
  return problem(message)
}

function elsewhere(): string {
  if (!isInContainer() && existsSync('/proc')) {
    return 'The engine is on another machine, or in a container: run codexbox where it is.'
  }
  return 'This process is in a container and the engine is not: mount the temporary folder and the workspace at the same paths in both.'
}
