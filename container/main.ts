/**
 * The container script: one file for three processes. The host starts it as the agent, and as the relay
 * where sockets of the host cannot be mounted; the agent starts it again as the worker.
 */
// These two act on import: the host works on their output while the other modules load.
import './report.ts'
import './probe-socket.ts'
import { messageOf } from '../shared/errors.ts'
import { serveAgent } from './agent/agent.ts'
import { mountQuestion } from './agent/report-mounts.ts'
import { openForwarder } from './egress/forwarder.ts'
import { serveRelay } from './relay/relay.ts'
import { becomeToolUser } from './worker/become-tool-user.ts'
import { serveWorker } from './worker/worker.ts'

// SIGUSR1 would open Node's inspector, which shows all of our memory to any process in the container.
process.on('SIGUSR1', () => {})

const [, , role, ...args] = process.argv
// First, because a descriptor opened before would keep the agent's rights.
if (role === 'worker') dropAgentUser(args[2], args[3])

// A closed stdout means that the host is gone.
process.stdout.on('error', () => process.exit(1))

void serve().then(async (exitCode) => {
  await flushed()
  process.exit(exitCode)
})

function serve(): Promise<number> {
  const [path = ''] = args
  switch (role) {
    case 'worker':
      return work(path || process.cwd(), args[1])
    case 'relay':
      return serveRelay(path, args.slice(1))
    case 'agent':
      return serveAgent(process.stdin, writeLine, mountQuestion(args.slice(1)))
    default:
      return serveAgent(process.stdin, writeLine)
  }
}

function writeLine(line: string): void {
  process.stdout.write(line)
}

/** An exit drops output that a slow host has not read yet. After the end of stdin the host is gone: do not wait. */
function flushed(): Promise<void> {
  const { stdin, stdout } = process
  if (stdin.readableEnded) return Promise.resolve()
  return new Promise((resolve) => {
    stdin.once('end', resolve)
    stdout.write('', () => resolve())
  })
}

/** Without a user id the worker stays the agent's user, for other hosts. */
function dropAgentUser(uid: string | undefined, gid: string | undefined): void {
  if (uid === undefined || gid === undefined) return
  try {
    becomeToolUser(Number(uid), Number(gid))
  } catch (error) {
    console.error(messageOf(error))
    process.exit(1)
  }
}

async function work(folder: string, egressSocketPath: string | undefined): Promise<number> {
  await serveWorker(folder, egressSocketPath ? await openForwarder(egressSocketPath) : {})
  return 0
}
