import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { Socket } from 'node:net'
import { systemCodeOf } from '../../shared/errors.ts'
import { readLines } from '../../shared/read-lines.ts'
import { scanFile } from '../package-root.ts'
import { LIMITS } from './budget.ts'
import { MAX_LINE_BYTES, type ScanOrder, type ScanReport } from './scan-protocol.ts'

export type ScanResult =
  /** `states` is for the next look. */
  | { status: 'looked'; report: ScanReport; states: string }
  /** `reason` is for a person. */
  | { status: 'failed'; reason: string }

/** Longer than a look's own deadline, for a process may start slowly; it is ended then. */
const LIMIT_MS = LIMITS.ms + 3000

/**
 * Looks at a workspace in a process of its own, because a look has to be ended whatever it is at: a thread that waits
 * for a file system cannot be, and keeps its process from ending. Never rejects. `before`: the states of an earlier look.
 */
export async function scanInProcess(
  order: ScanOrder,
  before: string | undefined,
  signal: AbortSignal,
): Promise<ScanResult> {
  if (!existsSync(scanFile)) return failed(`${scanFile} is missing; \`npm run build\` makes it`)
  const scanner = idle ?? new Scanner()
  idle = undefined
  const result = await scanner.scan(order, before, signal)
  // To start one takes some milliseconds, in which nothing else of ours goes on: one is kept, without keeping us.
  if (result.status === 'looked' && !idle) idle = scanner
  else scanner.end()
  return result
}

let idle: Scanner | undefined

class Scanner {
  readonly #child: ChildProcess
  readonly #lines: AsyncGenerator<string>
  readonly #ended: Promise<string>

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
    this.#child.stdin?.on('error', () => {}) // How it ended says more.
    this.#lines = readLines(this.#child.stdout ?? none(), MAX_LINE_BYTES)
    this.#ended = new Promise((resolve) => {
      this.#child.once('error', (error) =>
        resolve(`the process for it could not be started (${systemCodeOf(error)})`),
      )
      this.#child.once('exit', (code, end) => {
        if (idle === this) idle = undefined
        resolve(`the process for it ended (${end ?? code})`)
      })
    })
  }

  async scan(
    order: ScanOrder,
    before: string | undefined,
    signal: AbortSignal,
  ): Promise<ScanResult> {
    this.#hold(true)
    let timer: NodeJS.Timeout | undefined
    let stop = () => {}
    const stopped = new Promise<ScanResult>((resolve) => {
      stop = () => resolve(failed('it was stopped'))
      timer = setTimeout(
        () => resolve(failed(`it took longer than ${LIMIT_MS / 1000} s`)),
        LIMIT_MS,
      )
    })
    signal.addEventListener('abort', stop)
    try {
      if (signal.aborted) return failed('it was stopped')
      this.#child.stdin?.write(`${JSON.stringify(order)}\n${before ?? 'null'}\n`)
      return await Promise.race([this.#answer(), stopped])
    } finally {
      clearTimeout(timer)
      signal.removeEventListener('abort', stop)
      this.#hold(false)
    }
  }

  end(): void {
    this.#child.kill('SIGKILL')
  }

  async #answer(): Promise<ScanResult> {
    try {
      const report = await this.#lines.next()
      const states = await this.#lines.next()
      if (report.done || states.done) return failed(await this.#ended)
      return { status: 'looked', report: JSON.parse(report.value), states: states.value }
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

async function* none(): AsyncGenerator<Uint8Array> {}

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
