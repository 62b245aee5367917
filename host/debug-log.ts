import { closeSync, writeSync } from 'node:fs'
import { messageOf } from '../shared/errors.ts'
import { MASK, type Mask, maskOf } from './secret-mask.ts'
import { openPrivately } from './storage/open-privately.ts'

/**
 * Requests to the model service and its answers, as JSON lines in the user's file. Secrets are
 * masked before each write. No method throws or waits: a file that cannot be written must not
 * change the outcome of a run.
 */
export interface DebugLog {
  /** Why the log is off; for the user. */
  readonly problem: string | undefined
  /** Logs a request at its start. `secrets` are masked in every field. */
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

/** The steps after a request, in this order; the last one exactly once. */
export interface DebugExchange {
  answered(answer: { status: number; headers: Headers }): void
  /** Bytes of the body have arrived. */
  received(bytes: number): void
  /** `refusal` is the body of an error answer; `error` is the reason for an early end. */
  ended(how?: { refusal?: string; error?: unknown }): void
}

type Headers = NodeJS.Dict<string | string[] | number>

/** Appends to `file`, which only its owner can read; without a file, does nothing. */
export function openDebugLog(file: string | undefined, now: () => number = Date.now): DebugLog {
  if (!file) return SILENT
  let descriptor: number | undefined
  try {
    // The log contains prompts and files.
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
      // A full disk, for example: an incomplete log is better than a failed run.
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
        // The lines written so far remain.
      }
    },
  }
}

const SILENT: DebugLog = {
  problem: undefined,
  request: () => ({ answered: () => {}, received: () => {}, ended: () => {} }),
  close: () => {},
}

/** Headers whose values are masked: they do not help to find a fault. */
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
