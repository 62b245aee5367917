/**
 * The container script: one file, three processes. It is the agent, which starts it again as the
 * worker; the host starts it as the relay where its sockets cannot be mounted.
 */
// These two act at once: the host works on what they say while the rest is being loaded.
import './report.ts'
import './probe-socket.ts'
import { messageOf } from '../shared/errors.ts'
import { serveAgent } from './agent/agent.ts'
import { mountQuestion } from './agent/report-mounts.ts'
import { openForwarder } from './egress/forwarder.ts'
import { serveRelay } from './relay/relay.ts'
import { becomeToolUser } from './worker/become-tool-user.ts'
import { serveWorker } from './worker/worker.ts'

// SIGUSR1 would open Node's inspector, which shows all of our memory to anybody in the container.
process.on('SIGUSR1', () => {})

const [, , role, ...args] = process.argv
// Before anything is opened, which might stay the agent's.
if (role === 'worker') leaveAgent(args[2], args[3])

// The host is gone when nobody reads any more.
process.stdout.on('error', () => process.exit(1))

void serve().then(async (exitCode) => {
  await heard()
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

/** Leaving drops what the pipe to a host that reads late has no room for. The end of stdin says that the host is gone. */
function heard(): Promise<void> {
  const { stdin, stdout } = process
  if (stdin.readableEnded) return Promise.resolve()
  return new Promise((resolve) => {
    stdin.once('end', resolve)
    stdout.write('', () => resolve())
  })
}

/** Without a user it stays the agent's, as other hosts want it. */
function leaveAgent(uid: string | undefined, gid: string | undefined): void {
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
