/**
 * The container script: one file, two processes. Without arguments it is the agent; the agent starts
 * it again as the worker.
 */
import { serveAgent } from './agent/agent.ts'
import { openForwarder } from './egress/forwarder.ts'
import { serveWorker } from './worker/worker.ts'

// SIGUSR1 would open Node's inspector, which shows all of our memory to anybody in the container.
process.on('SIGUSR1', () => {})

// The host is gone when nobody reads any more.
process.stdout.on('error', () => process.exit(1))

const [, , role, workspace, egressSocketPath] = process.argv

if (role === 'worker') {
  void work(workspace ?? process.cwd()).then(() => process.exit(0))
} else {
  const write = (line: string) => process.stdout.write(line)
  void serveAgent(process.stdin, write).then((exitCode) => process.exit(exitCode))
}

/** What the worker starts has its environment. */
async function work(folder: string): Promise<void> {
  if (egressSocketPath) Object.assign(process.env, await openForwarder(egressSocketPath))
  await serveWorker(folder)
}
