/**
 * A process of its own that opens a session and keeps it: `hold-session.ts DATA_DIR NAME`. Prints the
 * outcome as JSON, then waits for the end of stdin.
 */
import { SessionLog } from '../../host/runs/session-log.ts'

const [dataDir = '', name = ''] = process.argv.slice(2)

try {
  const log = await SessionLog.open(dataDir, name)
  process.stdout.write(`${JSON.stringify({ lines: log.lines.length })}\n`)
  process.stdin.resume().once('end', () => void log.close())
} catch (error) {
  const { code, message } = error as Error & { code?: string }
  process.stdout.write(`${JSON.stringify({ code, message })}\n`)
}
