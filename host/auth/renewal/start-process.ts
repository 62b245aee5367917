import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { Socket } from 'node:net'
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { CodexboxError, systemCodeOf } from '../../../shared/errors.ts'
import { readLines } from '../../../shared/read-lines.ts'
import type { RenewalRequest } from './process-protocol.ts'

/** A process that carries out orders, one after the other. */
export interface RenewalProcess {
  isRunning(): boolean
  /** Keeps us running until there is an answer; never rejects. */
  carryOut(order: RenewalRequest): Promise<RenewalAnswer>
  /** It may wait for the next order without keeping us from ending. */
  rest(): void
  /** It ends as soon as it has carried out what it was told. */
  end(): void
}

export type RenewalAnswer =
  | { status: 'answered'; line: string }
  /** `end` tells how, to be said to a person. */
  | { status: 'broken'; end: string }

export interface RenewalProcessOptions {
  /** For how long an answer is awaited. Default: two minutes. */
  limitMs?: number | undefined
}

/**
 * Starts a process that outlives this one: it ends when nobody can give it orders any more, and not
 * before it has carried out the last.
 * @throws CodexboxError `internal` when its script is not where it belongs.
 */
export function startRenewalProcess(options: RenewalProcessOptions = {}): RenewalProcess {
  const { limitMs = LIMIT_MS } = options
  const child = spawn(process.execPath, [...loader(), entry()], {
    env: passedOn(process.env),
    // An order holds a token; arguments and environment can be seen by others.
    stdio: ['pipe', 'pipe', 'ignore'],
    // Out of reach of Ctrl-C, of a closed terminal and of whoever ends our process group.
    detached: true,
    windowsHide: true,
  })
  // Neither of them is there when the system is out of file descriptors.
  const { stdin, stdout } = child
  stdin?.on('error', () => {}) // How it ended says more.
  const lines = stdout && readLines(stdout, MAX_LINE_BYTES)
  const ended = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(`could not be started (${systemCodeOf(error)})`))
    child.once('close', (code, signal) => resolve(`ended with ${signal ?? code}`))
  })

  const answer = async (): Promise<RenewalAnswer> => {
    // What cannot be read to its end has ended.
    const line = await lines?.next().catch(() => undefined)
    if (line && !line.done) return { status: 'answered', line: line.value }
    return { status: 'broken', end: await ended }
  }

  return {
    isRunning: () => child.exitCode === null && child.signalCode === null,
    carryOut: async (order) => {
      holdUsOpen(child, true)
      stdin?.write(`${JSON.stringify(order)}\n`)
      let timer: NodeJS.Timeout | undefined
      const tooLate = new Promise<RenewalAnswer>((resolve) => {
        const end = `has not answered for ${limitMs / 1000} s (process ${child.pid})`
        timer = setTimeout(() => resolve({ status: 'broken', end }), limitMs)
      })
      return Promise.race([answer(), tooLate]).finally(() => clearTimeout(timer))
    },
    rest: () => holdUsOpen(child, false),
    end: () => {
      // It is left alone, for it may have the answer of the service.
      holdUsOpen(child, false)
      stdin?.end()
    },
  }
}

function holdUsOpen(child: ChildProcess, holds: boolean): void {
  for (const each of [child, child.stdin, child.stdout]) {
    if (each !== child && !(each instanceof Socket)) continue
    if (holds) each.ref()
    else each.unref()
  }
}

/** Longer than its own time limits, of the lock and of the request, add up to. */
export const LIMIT_MS = 120_000

const MAX_LINE_BYTES = 64 * 1024

/** Beside this file, and like it JavaScript or, in a checkout, TypeScript. */
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

/** Node cannot run our TypeScript by itself; tsx is there wherever the source is. */
function loader(): string[] {
  return EXTENSION === '.ts' ? ['--import', import.meta.resolve('tsx')] : []
}

function passedOn(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(PASSED_ON.flatMap((name) => (env[name] ? [[name, env[name]]] : [])))
}

/** What a request to the service needs, also behind a proxy with certificates of its own. */
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
