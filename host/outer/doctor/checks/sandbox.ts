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

/** Starts a container as a run would, to see whether it finds there what the host has put there. */
export const sandboxCheck: Check = {
  name: 'sandbox',
  look(machine, signal) {
    const { engine, image } = machine.config
    if (engine === 'process') return warning('There is none with AGENT_ENGINE=process.')
    return withEngine(machine, (docker, source) =>
      tryOut(dockerEngine(docker, image, source), signal),
    )
  },
}

async function tryOut(engine: Engine, signal: AbortSignal): Promise<Finding> {
  const scene = await layOut()
  let agent: AgentProcess | undefined
  const stop = () => void agent?.stop(0)
  signal.addEventListener('abort', stop)
  try {
    agent = await engine.start(scene.spec)
    if (signal.aborted) stop()
    const { socketPath } = agent.view
    // Not ended: not every way to an engine lets one direction end before the other.
    agent.stdin.write(`${JSON.stringify(socketPath && socketAddress(socketPath))}\n`)
    return judge(await outputOf(agent), scene.word, agent.relayed)
  } catch (error) {
    return notStarted(error)
  } finally {
    await agent?.stop(0)
    await scene.close()
  }
}

/**
 * Written for any Node, since it tells which it is. Like the agent, it goes to the mounted socket first, if
 * there is one; it is told where to go then.
 */
const PROBE = `
if (process.argv[2] === 'relay') return require('${inside.workspace}/agent.cjs')
var fs = require('fs'), net = require('net'), seen = { node: process.versions.node }
if (process.argv[3]) net.connect(process.argv[3]).on('error', function () {}).unref()
var bash = require('child_process').spawnSync('bash', ['-c', 'echo "$BASH_VERSION"'])
seen.bash = String(bash.stdout || '').trim()
// An address family that Node does not know, so that others are asked; by whom is all the same to the engine.
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

const Seen = z.object({
  node: z.string(),
  bash: z.string(),
  file: z.string(),
  socket: z.string(),
  /** The exit code of each who tried; null where there is no such program. */
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
  // Whatever the umask: they are read by root without rights.
  const inContainer = [agentFile, join(workspace, 'agent.cjs'), join(workspace, 'word')]
  for (const file of inContainer) chmodSync(file, 0o644)
  if (process.getuid?.() === 0) chownSync(workspace, TOOL_USER.uid, TOOL_USER.gid)
  const server = createServer((socket) => socket.end(word))
  const reached = new Promise<void>((resolve) => server.once('connection', () => resolve()))
  server.listen(join(socketFolder, 'gateway.sock'))
  await once(server, 'listening')
  chmodSync(join(socketFolder, 'gateway.sock'), 0o666)
  const held = holdSource(realpathSync(workspace))
  const uid = process.getuid?.()
  const gid = process.getgid?.()
  return {
    word,
    spec: {
      name: `codexbox-probe-${randomBytes(6).toString('hex')}`,
      agentFile,
      workspace: held,
      socketFolder,
      reached,
      network: 'none' as const,
      user: uid && gid !== undefined ? { uid, gid } : TOOL_USER,
    },
    async close() {
      releaseSources([held])
      await new Promise((resolve) => server.close(resolve))
      rmSync(root, { recursive: true, force: true })
    },
  }
}

/** Anybody but root. */
const TOOL_USER = { uid: 1000, gid: 1000 }

async function outputOf({ stdout, exited, stderrTail }: AgentProcess): Promise<string> {
  let text = ''
  for await (const chunk of stdout) text += chunk
  const exit = await exited
  if (text === '' && 'lost' in exit && exit.error) throw exit.error
  return text || stderrTail()
}

function judge(output: string, word: string, relayed: AgentProcess['relayed']): Finding {
  let seen: z.infer<typeof Seen>
  try {
    seen = Seen.parse(JSON.parse(output))
  } catch {
    return problem(`A container started and said only: ${output ? quote(output) : 'nothing'}`)
  }
  const { node, bash, file, socket, vsock } = seen
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

/** The line of a virtual machine to its host, which `network none` does not cut. */
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
