import { closeSync, writeSync } from 'node:fs'
import { messageOf } from '../shared/errors.ts'
import { MASK, type Mask, maskOf } from './secret-mask.ts'
import { openPrivately } from './storage/open-privately.ts'

/**
 * What was asked of the model service and how it answered, as JSON lines in a file of one's own.
 * Secrets are masked before anything is written. Nothing here ever throws, or waits for anything: a
 * file that cannot be written to must not change how a run ends.
 */
export interface DebugLog {
  /** Why nothing is written, for the user. */
  readonly problem: string | undefined
  /** Notes a request that is being sent. `secrets` are masked wherever they stand. */
  request(request: DebugRequest): DebugExchange
  close(): void
}

export interface DebugRequest {
  method: string
  url: URL
  headers: Headers
  body: Buffer | string
  secrets: readonly (string | undefined)[]
}

/** What comes after a request, in this order; the last of them exactly once. */
export interface DebugExchange {
  answered(answer: { status: number; headers: Headers }): void
  /** Some bytes of the body have come. */
  received(bytes: number): void
  /** `refusal` is the body of an answer that was none; `error` is what ended it before its end. */
  ended(how?: { refusal?: string; error?: unknown }): void
}

type Headers = NodeJS.Dict<string | string[] | number>

/** Appends to `file`, which is made for its owner only; without one, does nothing. */
export function openDebugLog(file: string | undefined, now: () => number = Date.now): DebugLog {
  if (!file) return SILENT
  let descriptor: number | undefined
  try {
    // Prompts and files are in there.
    descriptor = openPrivately(file)
  } catch (error) {
    return { ...SILENT, problem: `CODEXBOX_DEBUG: nothing is written to it: ${messageOf(error)}` }
  }
  let requests = 0

  const write = (line: () => object) => {
    if (descriptor === undefined) return
    try {
      writeSync(descriptor, `${JSON.stringify(line())}\n`)
    } catch {
      // A full disk, say: half a log is better than a run that ends for it.
    }
  }

  return {
    problem: undefined,
    request: ({ method, url, headers, body, secrets }) => {
      const id = ++requests
      const startedAt = now()
      const mask = maskOf(secrets)
      const note = (type: string, about: () => object) => {
        const at = now()
        const head = { at: new Date(at).toISOString(), id, type, afterMs: at - startedAt }
        write(() => ({ ...head, ...about() }))
      }
      let bytes = 0
      note('request', () => ({
        method: mask(method),
        url: mask(withoutLogin(url)),
        headers: maskedHeaders(headers, mask),
        bytes: Buffer.byteLength(body),
        body: mask(body.toString(), MAX_BODY_CHARS),
      }))
      return {
        answered: ({ status, headers }) =>
          note('headers', () => ({ status, headers: maskedHeaders(headers, mask) })),
        received: (count) => {
          if (bytes === 0 && count > 0) note('first-bytes', () => ({}))
          bytes += count
        },
        ended: ({ refusal, error } = {}) =>
          note('end', () => ({
            bytes,
            ...(refusal === undefined ? {} : { body: mask(refusal, MAX_BODY_CHARS) }),
            ...(error === undefined ? {} : { error: mask(messageOf(error)) }),
          })),
      }
    },
    close: () => {
      if (descriptor === undefined) return
      const open = descriptor
      descriptor = undefined
      try {
        closeSync(open)
      } catch {
        // What was written stays written.
      }
    },
  }
}

const SILENT: DebugLog = {
  problem: undefined,
  request: () => ({ answered: () => {}, received: () => {}, ended: () => {} }),
  close: () => {},
}

/** Whose values are of no use to anyone who looks for a fault. */
const SECRET_HEADER = /auth(?!orization-error)|cookie|token|secret|api-?key|account|password/i

function maskedHeaders(headers: Headers, mask: Mask): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [
      mask(name),
      SECRET_HEADER.test(name)
        ? MASK
        : Array.isArray(value)
          ? value.map((each) => mask(each))
          : mask(`${value}`),
    ]),
  )
}

const MAX_BODY_CHARS = 4 * 1024 * 1024

function withoutLogin(url: URL): string {
  const bare = new URL(url)
  bare.username = ''
  bare.password = ''
  return bare.href
}
