import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { Socket } from 'node:net'
import { systemCodeOf } from '../../../shared/errors.ts'
import { scanFile } from '../../package-root.ts'
import { LIMITS } from './budget.ts'
import { MAX_ANSWER_LENGTH, type ScanOrder, type ScanReport } from './scan-protocol.ts'

export type ScanResult =
  /** `states` is the input of the next scan. */
  | { status: 'looked'; report: ScanReport; states: string }
  /** `reason` is shown to the user. */
  | { status: 'failed'; reason: string }

/** Lets the caller stop a scan. No AbortSignal: the first one in a process takes milliseconds. */
export class Stop {
  isStopped = false
  /** Called once, by `stop`. */
  onStop = () => {}

  stop(): void {
    this.isStopped = true
    this.onStop()
  }
}

/** Kill timeout. Longer than the scan's own deadline, since the process may start slowly. */
const LIMIT_MS = LIMITS.ms + 3000

/**
 * Starts the process of the next scan in advance. Spawning blocks the event loop for some milliseconds: call it when no
 * other work waits for that.
 */
export function prepareScan(): void {
  if (!idle && existsSync(scanFile)) idle = new Scanner()
}

/**
 * Scans a workspace in a separate process, because a scan must be stoppable at any point: a thread that waits for a
 * file system cannot be stopped, and keeps its process alive. Never rejects. `before`: the states of an earlier scan.
 */
export async function scanInProcess(
  order: ScanOrder,
  before: string | undefined,
  stop: Stop,
): Promise<ScanResult> {
  if (!existsSync(scanFile)) return failed(`${scanFile} is missing; \`npm run build\` makes it`)
  const scanner = idle ?? new Scanner()
  idle = undefined
  const result = await scanner.scan(order, before, stop)
  // One idle process stays for the next scan, unreferenced, so that this process can exit.
  if (result.status === 'looked' && !idle) idle = scanner
  else scanner.end()
  return result
}

let idle: Scanner | undefined

class Scanner {
  readonly #child: ChildProcess
  readonly #ended: Promise<string>
  #received = ''
  #onAnswer = (_lines: [report: string, states: string]) => {}

  constructor() {
    this.#child = spawn(process.execPath, [...HEAP, scanFile], {
      // Outside the workspace, and without NODE_OPTIONS and the like.
      cwd: '/',
      env: passedOn(process.env),
      stdio: ['pipe', 'pipe', 'ignore'],
      // In its own process group: Ctrl-C is for the host.
      detached: true,
      windowsHide: true,
    })
    // The exit status is more informative.
    this.#child.stdin?.on('error', () => {})
    this.#child.stdout?.on('error', () => {})
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => this.#receive(text))
    this.#ended = new Promise((resolve) => {
      this.#child.once('error', (error) =>
        resolve(`the process for it could not be started (${systemCodeOf(error)})`),
      )
      this.#child.once('exit', (code, end) => {
        if (idle === this) idle = undefined
        resolve(`the process for it ended (${end ?? code})`)
      })
    })
    this.#hold(false)
  }

  async scan(order: ScanOrder, before: string | undefined, stop: Stop): Promise<ScanResult> {
    if (stop.isStopped) return failed('it was stopped')
    this.#hold(true)
    let timer: NodeJS.Timeout | undefined
    const ended = new Promise<ScanResult>((resolve) => {
      stop.onStop = () => resolve(failed('it was stopped'))
      const late = failed(`it took longer than ${LIMIT_MS / 1000} s`)
      timer = setTimeout(() => resolve(late), LIMIT_MS)
    })
    try {
      this.#child.stdin?.write(`${JSON.stringify(order)}\n${before ?? 'null'}\n`)
      return await Promise.race([this.#answer(), ended])
    } finally {
      clearTimeout(timer)
      stop.onStop = () => {}
      this.#hold(false)
    }
  }

  end(): void {
    this.#child.kill('SIGKILL')
  }

  /** A listener, since the first async iterator in a process takes milliseconds. */
  #receive(text: string): void {
    this.#received += text
    if (this.#received.length > MAX_ANSWER_LENGTH) this.end()
    // A response is two lines, and ends with a newline.
    if (!text.endsWith('\n')) return
    const [report = '', states] = this.#received.split('\n')
    if (!states) return
    this.#received = ''
    this.#onAnswer([report, states])
  }

  async #answer(): Promise<ScanResult> {
    const lines = new Promise<[report: string, states: string]>((resolve) => {
      this.#onAnswer = resolve
    })
    const answer = await Promise.race([lines, this.#ended])
    if (typeof answer === 'string') return failed(answer)
    const [report, states] = answer
    try {
      return { status: 'looked', report: JSON.parse(report), states }
    } catch (error) {
      return failed(String(error))
    }
  }

  /** Sets whether the child keeps this process alive. */
  #hold(holds: boolean): void {
    for (const each of [this.#child, this.#child.stdin, this.#child.stdout]) {
      if (each !== this.#child && !(each instanceof Socket)) continue
      if (holds) each.ref()
      else each.unref()
    }
  }
}

/** Far more than a scan needs; the process exits beyond it. */
const HEAP = ['--max-old-space-size=512']

const failed = (reason: string): ScanResult => ({ status: 'failed', reason })

function passedOn(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(PASSED_ON.flatMap((name) => (env[name] ? [[name, env[name]]] : [])))
}

/** Variables that locate the user's git configs. */
const PASSED_ON = [
  'HOME',
  'XDG_CONFIG_HOME',
  'GIT_CONFIG_GLOBAL',
  'GIT_CONFIG_SYSTEM',
  'GIT_CONFIG_NOSYSTEM',
  'SystemRoot',
]
