import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { Socket } from 'node:net'
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { CodexboxError, systemCodeOf } from '../../../shared/errors.ts'
import { readLines } from '../../../shared/read-lines.ts'
import type { RenewalRequest } from './process-protocol.ts'

/** A process that carries out requests, one after the other. */
export interface RenewalProcess {
  isRunning(): boolean
  /** Keeps this process alive until there is an answer; never rejects. */
  carryOut(request: RenewalRequest): Promise<RenewalAnswer>
  /** Lets it wait for the next request without keeping this process alive. */
  rest(): void
  /** Lets it exit as soon as its request is carried out. */
  end(): void
}

export type RenewalAnswer =
  | { status: 'answered'; line: string }
  /** `end`: how the process ended, for a message to the user. */
  | { status: 'broken'; end: string }

export interface RenewalProcessOptions {
  /** How long to wait for an answer. Default: two minutes. */
  limitMs?: number | undefined
}

/**
 * Starts a process that outlives this one: it exits when its stdin is closed and its last request is
 * carried out.
 * @throws CodexboxError `internal` when its script is missing.
 */
export function startRenewalProcess(options: RenewalProcessOptions = {}): RenewalProcess {
  const { limitMs = LIMIT_MS } = options
  const child = spawn(process.execPath, [...loader(), entry()], {
    env: passedOn(process.env),
    // Stdin, because a request holds a token, and other users can read arguments and environment.
    stdio: ['pipe', 'pipe', 'ignore'],
    // Detached from Ctrl-C, from a closed terminal and from signals to our process group.
    detached: true,
    windowsHide: true,
  })
  // Both are undefined when the system is out of file descriptors.
  const { stdin, stdout } = child
  stdin?.on('error', () => {}) // The exit of the process tells more.
  const lines = stdout && readLines(stdout, MAX_LINE_BYTES)
  const ended = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(`could not be started (${systemCodeOf(error)})`))
    child.once('close', (code, signal) => resolve(`ended with ${signal ?? code}`))
  })

  const answer = async (): Promise<RenewalAnswer> => {
    // A read error means that the process has ended.
    const line = await lines?.next().catch(() => undefined)
    if (line && !line.done) return { status: 'answered', line: line.value }
    return { status: 'broken', end: await ended }
  }

  return {
    isRunning: () => child.exitCode === null && child.signalCode === null,
    carryOut: async (request) => {
      keepAlive(child, true)
      stdin?.write(`${JSON.stringify(request)}\n`)
      let timer: NodeJS.Timeout | undefined
      const tooLate = new Promise<RenewalAnswer>((resolve) => {
        const end = `has not answered for ${limitMs / 1000} s (process ${child.pid})`
        timer = setTimeout(() => resolve({ status: 'broken', end }), limitMs)
      })
      return Promise.race([answer(), tooLate]).finally(() => clearTimeout(timer))
    },
    rest: () => keepAlive(child, false),
    end: () => {
      // Not killed: it may have the answer of the service.
      keepAlive(child, false)
      stdin?.end()
    },
  }
}

function keepAlive(child: ChildProcess, isOn: boolean): void {
  for (const handle of [child, child.stdin, child.stdout]) {
    if (handle !== child && !(handle instanceof Socket)) continue
    if (isOn) handle.ref()
    else handle.unref()
  }
}

/** Longer than the sum of its own time limits, of the lock and of the HTTP request. */
export const LIMIT_MS = 120_000

const MAX_LINE_BYTES = 64 * 1024

/** The script is beside this file and has its extension: JavaScript or, in a checkout, TypeScript. */
const EXTENSION = extname(fileURLToPath(import.meta.url))

function entry(): string {
  const path = fileURLToPath(new URL(`renewal-process${EXTENSION}`, import.meta.url))
  if (existsSync(path)) return path
  throw new CodexboxError(
    'internal',
    `Could not renew the sign-in: ${path} is missing. It is run as a process of its own, so whoever ` +
      'bundles codexbox into one file has to put it beside that, or leave codexbox out of the bundle.',
  )
}

/** Node cannot run our TypeScript by itself; a checkout has tsx. */
function loader(): string[] {
  return EXTENSION === '.ts' ? ['--import', import.meta.resolve('tsx')] : []
}

function passedOn(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(PASSED_ON.flatMap((name) => (env[name] ? [[name, env[name]]] : [])))
}

/** The variables that a request to the service needs, also behind a proxy with its own certificates. */
const PASSED_ON = [
  'PATH',
  'HTTPS_PROXY',
  'HTTP_PROXY',
  'NO_PROXY',
  'https_proxy',
  'http_proxy',
  'no_proxy',
  'NODE_USE_ENV_PROXY',
  'NODE_EXTRA_CA_CERTS',
  'NODE_USE_SYSTEM_CA',
  'NODE_OPTIONS',
  'SSL_CERT_FILE',
  'SSL_CERT_DIR',
  'SystemRoot', // Without it, Windows gives a process no network.
]
