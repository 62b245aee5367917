import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Recording as Played, RecordedCredentials } from '../../test/conformance/replay.ts'

export const FIXTURES = join(import.meta.dirname, '../../test/fixtures')

/** How the official client was run, so that it can be run again. */
export interface ClientRun {
  /** Behind `exec` and the switches of every run; one list for each thing that the user says. */
  args: string[][]
  /** Its config.toml. `{origin}` stands for a server on this machine that is not the service. */
  config?: string
  /** What lies in its workspace: text, or bytes in base64. */
  files?: Record<string, string | { base64: string }>
  /** Whether the service lets it have a WebSocket. Default: 426. */
  websocket?: true | { status: number; body?: unknown }
  /** Whether its runs are begun together. */
  atOnce?: true
}

/** A sign-in that is not as it should be, beside what recordings have. */
export interface Credentials extends RecordedCredentials {
  without?: 'account_id' | 'last_refresh'
  /** How long the token endpoint takes. */
  tokenDelayMs?: number
  /** The first renewal that was asked for. */
  refresh?: { headers: Record<string, string>; body: unknown }
}

/** A recording with what is needed to make it anew. */
export interface Recording extends Played {
  client: ClientRun & { version?: string }
  credentials?: Credentials
  /** What its `--json` said, by type. */
  said: string[]
}

/** Whole runs, by their file. The other recordings are collections, with players of their own. */
export function recordings(): Recording[] {
  return readdirSync(join(FIXTURES, 'recordings'))
    .filter((file) => /^\d/.test(file))
    .map((file) => fixture<Recording>(`recordings/${file}`))
}

export function fixture<T>(path: string): T {
  return JSON.parse(readFileSync(join(FIXTURES, path), 'utf8'))
}

/** In the layout of the fixtures, where an event of a stream has a line, and what is short has one. */
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
