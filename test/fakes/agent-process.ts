import { spawn } from 'node:child_process'
import { agentFile } from '../../host/package-root.ts'
import {
  type FinishedEvent,
  type HostLine,
  RunEvent,
  type RunRequest,
} from '../../shared/protocol.ts'

type EventOf<T extends RunEvent['type']> = Extract<RunEvent, { type: T }>

/** The container script as a child process, seen from the host's end of its pipes. */
export interface AgentProcess {
  /** Every event so far. */
  readonly seen: readonly RunEvent[]
  /** All events from the first on; ends with the process. */
  readonly events: AsyncIterable<RunEvent>
  /** The next event of a type; looks only behind what an earlier `until` has found. */
  until<T extends RunEvent['type']>(type: T): Promise<EventOf<T>>
  /** `until('finished')`. */
  finished(): Promise<FinishedEvent>
  send(line: HostLine): void
  /** Ends stdin, as when the host is gone. */
  endInput(): void
  readonly exit: Promise<{ code: number | null; signal: NodeJS.Signals | null }>
  readonly stderr: string
  /** Kills it, if it still runs, and waits until it is gone. */
  stop(): Promise<void>
}

const PATIENCE_MS = 15_000

/**
 * Starts the container script with `request`. Whoever waits for an event gets an error instead if
 * the script breaks the protocol: a line that is no event, a gap in the numbers, an event of a run
 * that has finished.
 */
export function startAgent(
  request: RunRequest,
  options: { file?: string; env?: NodeJS.ProcessEnv } = {},
): AgentProcess {
  const child = spawn(process.execPath, [options.file ?? agentFile], {
    env: { PATH: process.env.PATH, ...options.env },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  const seen: RunEvent[] = []
  const finishedRuns = new Set<string>()
  let stderr = ''
  let violation: Error | undefined
  let over = false
  let wakeUp: (() => void)[] = []
  const changed = () => {
    const sleepers = wakeUp
    wakeUp = []
    for (const wake of sleepers) wake()
  }

  // The script may be gone before it has read a line; how it ended is in `exit`.
  child.stdin.on('error', () => {})
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  // Not readline: it also splits at U+2028, which stands unescaped in JSON text.
  let torn = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    const lines = (torn + text).split('\n')
    torn = lines.pop() ?? ''
    for (const line of lines) {
      try {
        seen.push(checkedEvent(line, seen.length + 1, finishedRuns))
      } catch (error) {
        violation ??= error as Error
      }
    }
    changed()
  })
  const exit = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) => {
    child.on('close', (code, signal) => {
      over = true
      changed()
      resolve({ code, signal })
    })
  })
  const send = (line: RunRequest | HostLine) => void child.stdin.write(`${JSON.stringify(line)}\n`)
  send(request)

  /** The event at `index`, or undefined if the process ends before it. */
  async function eventAt(index: number): Promise<RunEvent | undefined> {
    while (!violation && !over && seen.length <= index) {
      await new Promise<void>((resolve) => wakeUp.push(resolve))
    }
    if (violation) throw violation
    return seen[index]
  }

  async function* events(): AsyncGenerator<RunEvent> {
    for (let index = 0; ; index++) {
      const event = await eventAt(index)
      if (!event) return
      yield event
    }
  }

  let next = 0
  async function search<T extends RunEvent['type']>(type: T): Promise<EventOf<T>> {
    for (;;) {
      const event = await eventAt(next)
      if (!event) throw new Error(`The agent ended without '${type}'`)
      next += 1
      if (event.type === type) return event as EventOf<T>
    }
  }

  async function until<T extends RunEvent['type']>(type: T): Promise<EventOf<T>> {
    let timer: NodeJS.Timeout | undefined
    const tooLate = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`No '${type}' in ${PATIENCE_MS} ms`)), PATIENCE_MS)
    })
    try {
      return await Promise.race([search(type), tooLate])
    } catch (error) {
      const lastLines = seen.slice(-5).map((event) => JSON.stringify(event))
      throw new Error(`${(error as Error).message}\n${lastLines.join('\n')}\nstderr: ${stderr}`)
    } finally {
      clearTimeout(timer)
    }
  }

  return {
    seen,
    events: { [Symbol.asyncIterator]: events },
    until,
    finished: () => until('finished'),
    send,
    endInput: () => void child.stdin.end(),
    exit,
    get stderr() {
      return stderr
    },
    stop: async () => {
      child.kill('SIGKILL')
      await exit
    },
  }
}

/** @throws Error saying which rule of the protocol `line` breaks. */
function checkedEvent(line: string, seq: number, finishedRuns: Set<string>): RunEvent {
  const event = RunEvent.parse(JSON.parse(line))
  if (event.seq !== seq) throw new Error(`Event ${event.seq} came as number ${seq}: ${line}`)
  if (finishedRuns.has(event.runId)) throw new Error(`Came after 'finished' of its run: ${line}`)
  if (event.type === 'finished') finishedRuns.add(event.runId)
  return event
}
