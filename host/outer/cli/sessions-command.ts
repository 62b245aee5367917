import { assistantText } from '../../../shared/assistant-text.ts'
import { oneLine } from '../../../shared/visible-text.ts'
import { readConfig } from '../../config.ts'
import {
  listSessions,
  readSession,
  removeSession,
  type SessionLine,
} from '../../runs/session-log.ts'
import { plural, totals } from './format-counts.ts'
import { print, printJson } from './print.ts'

/** Lists the sessions, newest first. */
export function listCommand(options: { json?: boolean }): void {
  const sessions = listSessions(readConfig().dataDir)
  if (options.json) {
    for (const session of sessions) printJson(session)
    return
  }
  if (sessions.length === 0) print('No sessions yet.')
  const width = Math.max(0, ...sessions.map(({ name }) => name.length))
  for (const { name, changedAt, bytes } of sessions) {
    const when = new Date(changedAt).toLocaleString()
    print(`${name.padEnd(width)}  ${when}  ${Math.ceil(bytes / 1024)} kB`)
  }
}

/** Prints a session as readable text, or with `--json` as the lines of its log. */
export function showCommand(name: string, options: { json?: boolean }): void {
  for (const line of readSession(readConfig().dataDir, name)) {
    const text = describe(line)
    if (options.json) printJson(line)
    else if (text !== undefined) print(text)
  }
}

export async function removeCommand(names: string[]): Promise<void> {
  const { dataDir } = readConfig()
  for (const name of names) await removeSession(dataDir, name)
  print(`Removed ${plural(names.length, 'session')}.`)
}

function describe(line: SessionLine): string | undefined {
  switch (line.type) {
    case 'session':
      return `session ${line.id}, begun ${new Date(line.at).toLocaleString()}`
    case 'run':
      return `\n── ${new Date(line.at).toLocaleString()} · ${line.provider} · ${line.model} · ${line.workspace}`
    case 'item':
      return describeItem(line.item)
    case 'compacted':
      return '── the conversation was shortened'
    case 'counted':
    case 'reasoning-dropped':
    case 'images-dropped':
      return undefined
    case 'finished': {
      const error = line.error ? `${line.error.message}\n` : ''
      return `${error}── ${totals({ ...line, type: 'finished', v: 1, seq: 1 })}`
    }
  }
}

function describeItem(item: Extract<SessionLine, { type: 'item' }>['item']): string | undefined {
  const text = assistantText(item)
  if (text !== undefined) return text
  switch (item.type) {
    case 'message':
      return `› ${partsText(item.content)}`
    case 'function_call':
      return `  · ${oneLine(`${item.name} ${item.arguments}`, 100)}`
    case 'function_call_output':
      return `    ${oneLine(String(item.output), 96)}`
    default:
      return undefined
  }
}

function partsText(content: unknown): string {
  return Array.isArray(content) ? content.map((part) => String(part?.text ?? '')).join('') : ''
}
