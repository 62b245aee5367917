import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Recording as Played, RecordedCredentials } from '../../test/conformance/replay.ts'

export const FIXTURES = join(import.meta.dirname, '../../test/fixtures')

/** How to run the official client. */
export interface ClientRun {
  /** Arguments after `exec` and the common switches; one list for each prompt of the user. */
  args: string[][]
  /** Its config.toml. `{origin}` is replaced by a local server that is not the service. */
  config?: string
  /** Files in its workspace: text, or bytes in base64. */
  files?: Record<string, string | { base64: string }>
  /** Whether the service accepts a WebSocket upgrade. Default: refused with 426. */
  websocket?: true | { status: number; body?: unknown }
  /** Whether its runs start concurrently. */
  atOnce?: true
}

/** The credentials of a recording, with defects of the sign-in. */
export interface Credentials extends RecordedCredentials {
  without?: 'account_id' | 'last_refresh'
  /** Delay of the token endpoint. */
  tokenDelayMs?: number
  /** The client's first renewal request. */
  refresh?: { headers: Record<string, string>; body: unknown }
}

/** A recording, with the data needed to record it again. */
export interface Recording extends Played {
  client: ClientRun & { version?: string }
  credentials?: Credentials
  /** The types of the events that `--json` printed. */
  said: string[]
}

/** The recordings of complete runs, one per file. The other files are collections, with their own players. */
export function recordings(): Recording[] {
  return readdirSync(join(FIXTURES, 'recordings'))
    .filter((file) => /^\d/.test(file))
    .map((file) => fixture<Recording>(`recordings/${file}`))
}

export function fixture<T>(path: string): T {
  return JSON.parse(readFileSync(join(FIXTURES, path), 'utf8'))
}

/** In the layout of the fixtures: one line for each stream event and for each short value. */
export function writeFixture(path: string, value: unknown): void {
  writeFileSync(join(FIXTURES, path), `${laidOut(value)}\n`)
}

const MAX_LINE = 120

function laidOut(value: unknown, indent = ''): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const line = spaced(value)
  if (indent !== '' && indent.length + line.length <= MAX_LINE && !hasEvents(value)) return line
  const inner = `${indent}  `
  const entries = Array.isArray(value)
    ? value.map((entry) => (isEvent(entry) ? JSON.stringify(entry) : laidOut(entry, inner)))
    : Object.entries(value).flatMap(([key, entry]) =>
        entry === undefined ? [] : [`${JSON.stringify(key)}: ${laidOut(entry, inner)}`],
      )
  const [open, close] = Array.isArray(value) ? '[]' : '{}'
  return `${open}\n${entries.map((entry) => inner + entry).join(',\n')}\n${indent}${close}`
}

function spaced(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(spaced).join(', ')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const fields = Object.entries(value).filter(([, entry]) => entry !== undefined)
  return `{${fields.map(([key, entry]) => `${JSON.stringify(key)}: ${spaced(entry)}`).join(', ')}}`
}

const isEvent = (value: unknown) => /^\{"type":"(response|error)\b/.test(JSON.stringify(value))
const hasEvents = (value: object) => JSON.stringify(value).includes('{"type":"response.')
