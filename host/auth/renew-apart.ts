import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { CodexboxError, systemCodeOf } from '../../shared/errors.ts'
import { holdFileLock } from '../storage/file-lock.ts'
import type { Renew } from './renew-under-lock.ts'
import { type RenewalOrder, RenewalResult } from './renewal-order.ts'
import { fileTokenStore } from './token-store.ts'

export interface RenewApartOptions {
  dataDir: string
  issuer: URL
  timeoutMs?: number | undefined
  /** See `FileLockOptions`. */
  lockTimeoutMs?: number | undefined
  staleMs?: number | undefined
}

/**
 * Renews in a process that outlives this one: whoever is killed while the service's answer is on its
 * way would lose the sign-in, for the service gives that answer only once.
 * @throws CodexboxError also `internal` when the script of that process is not where it belongs.
 */
export function renewApart({ issuer, ...options }: RenewApartOptions): Renew {
  return async (due) => {
    const endTurn = await turn(options)
    try {
      const current = fileTokenStore(options.dataDir).peek()
      if (current && current.access_token !== due.accessToken) return
      const answer = await answerTo({ ...options, ...due, issuer: issuer.href })
      const result = RenewalResult.safeParse(parseJson(answer.text)).data
      if (!result) throw brokeOff(answer.end)
      if (result.status === 'failed') throw new CodexboxError(result.code, result.message)
    } finally {
      await endTurn()
    }
  }
}

/**
 * Of fifty that need a renewal, one starts the process for it, and the others find it done. It is for
 * thrift alone, so who does not get his turn in time goes on: the store's own lock is what counts.
 */
async function turn({ dataDir, staleMs }: Omit<RenewApartOptions, 'issuer'>) {
  const path = join(dataDir, 'codex-tokens.json.turn')
  try {
    return await holdFileLock(path, { timeoutMs: TURN_MS, staleMs, code: 'refresh-failed' })
  } catch {
    return async () => {}
  }
}

const TURN_MS = 5_000

interface Answer {
  text: string
  /** How the process ended, to be said where it answered nothing. */
  end: string
}

function answerTo(order: RenewalOrder): Promise<Answer> {
  const child = spawn(process.execPath, [...loader(), entry()], {
    env: passedOn(process.env),
    // The order holds a token; arguments and environment can be seen by others.
    stdio: ['pipe', 'pipe', 'ignore'],
    // Out of reach of Ctrl-C, of a closed terminal and of whoever ends our process group.
    detached: true,
    windowsHide: true,
  })
  return new Promise((resolve) => {
    let text = ''
    const finish = (end: string) => {
      clearTimeout(timer)
      resolve({ text, end })
    }
    const timer = setTimeout(() => {
      // It is left alone, for it may have the answer. We do not wait for it any more.
      child.unref()
      child.stdout?.destroy()
      finish(`has not ended for ${LIMIT_MS / 1000} s (process ${child.pid})`)
    }, LIMIT_MS)
    child.once('error', (error) => finish(`could not be started (${systemCodeOf(error)})`))
    child.once('close', (code, signal) => finish(`ended with ${signal ?? code}`))
    // None of them is there when the system is out of file descriptors.
    child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk
    })
    child.stdin?.on('error', () => {}) // How it ended says more.
    child.stdin?.end(`${JSON.stringify(order)}\n`)
  })
}

/** Longer than its own time limits, of the lock and of the request, add up to. */
const LIMIT_MS = 120_000

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

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined // It ended before it had answered.
  }
}

function brokeOff(end: string): CodexboxError {
  return new CodexboxError(
    'refresh-failed',
    `Could not renew the sign-in: the process for it ${end}. It is kept; try again in a moment.`,
  )
}
