import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { Socket } from 'node:net'
import { systemCodeOf } from '../../../shared/errors.ts'
import { scanFile } from '../../package-root.ts'
import { LIMITS } from './budget.ts'
import { MAX_ANSWER_LENGTH, type ScanOrder, type ScanReport } from './scan-protocol.ts'

export type ScanResult =
  /** `states` is for the next look. */
  | { status: 'looked'; report: ScanReport; states: string }
  /** `reason` is for a person. */
  | { status: 'failed'; reason: string }

/** By which who asked for a look ends it. No AbortSignal: the first one of a process takes milliseconds. */
export class Stop {
  isStopped = false
  /** Called once, when it is stopped. */
  onStop = () => {}

  stop(): void {
    this.isStopped = true
    this.onStop()
  }
}

/** Longer than a look's own deadline, for a process may start slowly; it is ended then. */
const LIMIT_MS = LIMITS.ms + 3000

/**
 * Starts the process for the next look ahead of it. The event loop waits for some milliseconds, as for each process that
 * is started: at a moment when nobody else does.
 */
export function prepareScan(): void {
  if (!idle && existsSync(scanFile)) idle = new Scanner()
}

/**
 * Looks at a workspace in a process of its own, because a look has to be ended whatever it is at: a thread that waits
 * for a file system cannot be, and keeps its process from ending. Never rejects. `before`: the states of an earlier look.
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
  // One is kept for the next look, without keeping us.
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
      // Not in the workspace, nor with what the environment has node load.
      cwd: '/',
      env: passedOn(process.env),
      stdio: ['pipe', 'pipe', 'ignore'],
      // Out of reach of Ctrl-C, which is for us.
      detached: true,
      windowsHide: true,
    })
    // How it ended says more.
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

  /** The first async iterator of a process takes milliseconds, and this none. */
  #receive(text: string): void {
    this.#received += text
    if (this.#received.length > MAX_ANSWER_LENGTH) this.end()
    // Each of its two lines ends with the only newline in it.
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

  /** Whether it keeps this process running. */
  #hold(holds: boolean): void {
    for (const each of [this.#child, this.#child.stdin, this.#child.stdout]) {
      if (each !== this.#child && !(each instanceof Socket)) continue
      if (holds) each.ref()
      else each.unref()
    }
  }
}

/** Far more than a look needs; what needs more is ended. */
const HEAP = ['--max-old-space-size=512']

const failed = (reason: string): ScanResult => ({ status: 'failed', reason })

function passedOn(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(PASSED_ON.flatMap((name) => (env[name] ? [[name, env[name]]] : [])))
}

/** Where the user's own git configs are. */
const PASSED_ON = [
  'HOME',
  'XDG_CONFIG_HOME',
  'GIT_CONFIG_GLOBAL',
  'GIT_CONFIG_SYSTEM',
  'GIT_CONFIG_NOSYSTEM',
  'SystemRoot',
]
