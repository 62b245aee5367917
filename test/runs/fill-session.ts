/**
 * A process of its own that appends to a session until there is no room for a line:
 * `fill-session.ts DATA_DIR NAME`, under a limit on the size of files. Prints the error as JSON.
 */
import { type SessionLine, SessionLog } from '../../host/runs/session-log.ts'

const [dataDir = '', name = ''] = process.argv.slice(2)

const item = (text: string): SessionLine => ({
  type: 'item',
  runId: 'run-1',
  item: { type: 'message', content: [{ text }] },
})

const log = await SessionLog.open(dataDir, name)
log.append(item('before'))
try {
  log.append(item('x'.repeat(100_000)))
} catch (error) {
  const { code, message } = error as Error & { code?: string }
  process.stdout.write(JSON.stringify({ code, message }))
}
log.append(item('after'))
await log.close()
