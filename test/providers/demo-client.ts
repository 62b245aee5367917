import { spawn } from 'node:child_process'
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Item } from '../../shared/items.ts'

/** A client of the demo backend, as small as one can be that really does what it is asked. */

export interface StreamEvent {
  type: string
  [field: string]: unknown
}

export interface RunRecord {
  /** The whole conversation up to the answer, ready to be continued. */
  history: Item[]
  calls: { name: string; arguments: Record<string, unknown>; output: string }[]
  /** How many calls each response made. */
  callsPerTurn: number[]
  answer: string
  responses: StreamEvent[][]
}

export const ALL_TOOLS = ['bash', 'read_file', 'write_file', 'list_files']

export const user = (text: string): Item => ({
  type: 'message',
  role: 'user',
  content: [{ type: 'input_text', text }],
})

export const aBody = (fields: Record<string, unknown> = {}) => ({
  model: 'demo-script',
  stream: true,
  store: false,
  input: [user('hello')],
  tools: ALL_TOOLS.map((name) => ({ type: 'function', name })),
  include: ['reasoning.encrypted_content'],
  prompt_cache_key: 'a-conversation',
  ...fields,
})

export function post(url: URL, token: string, body: unknown): Promise<Response> {
  return fetch(url, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  })
}

/** Every frame must be one `event:` and one `data:` line that agree; anything else throws. */
export function parseStream(text: string): StreamEvent[] {
  const frames = text.split('\n\n')
  if (frames.pop() !== '') throw new Error('the stream does not end with a blank line')
  return frames.map((frame) => {
    const [, name, data = ''] = /^event: (\S+)\ndata: (.+)$/.exec(frame) ?? []
    const event = JSON.parse(data) as StreamEvent
    if (event.type !== name) throw new Error(`frame ${name} holds ${event.type}`)
    return event
  })
}

export const itemsOf = (events: StreamEvent[]): Item[] =>
  events.filter(({ type }) => type === 'response.output_item.done').map(({ item }) => item as Item)

/** Asks, does what is asked for in `workspace`, and goes on until there is an answer. */
export async function runPrompt(options: {
  url: URL
  token: string
  workspace: string
  prompt: string
  history?: Item[]
  tools?: string[]
}): Promise<RunRecord> {
  const { url, token, workspace, prompt, history = [], tools = ALL_TOOLS } = options
  const record: RunRecord = {
    history: [...history, user(prompt)],
    calls: [],
    callsPerTurn: [],
    answer: '',
    responses: [],
  }
  for (let turn = 0; turn < 12; turn++) {
    const body = aBody({
      input: record.history,
      tools: tools.map((name) => ({ type: 'function', name })),
    })
    const response = await post(url, token, body)
    const text = await response.text()
    if (response.status !== 200) throw new Error(`${response.status} ${text}`)
    const events = parseStream(text)
    const items = itemsOf(events)
    record.responses.push(events)
    record.history.push(...items)
    const calls = items.filter(({ type }) => type === 'function_call')
    record.callsPerTurn.push(calls.length)
    if (calls.length === 0) {
      return { ...record, answer: textOf(items.at(-1)) }
    }
    for (const { name, arguments: json, call_id } of calls) {
      const args = JSON.parse(String(json)) as Record<string, unknown>
      const output = await execute(String(name), args, workspace)
      record.calls.push({ name: String(name), arguments: args, output })
      record.history.push({ type: 'function_call_output', call_id, output })
    }
  }
  throw new Error('the script does not come to an end')
}

function textOf(message: Item | undefined): string {
  const content = message?.content as { text: string }[] | undefined
  return content?.map(({ text }) => text).join('') ?? ''
}

async function execute(
  name: string,
  args: Record<string, unknown>,
  workspace: string,
): Promise<string> {
  const path = join(workspace, String(args.path ?? '.'))
  try {
    switch (name) {
      case 'bash':
        return await bash(String(args.command), workspace)
      case 'read_file':
        return await readFile(path, 'utf8')
      case 'write_file':
        await mkdir(dirname(path), { recursive: true })
        await writeFile(path, String(args.content))
        return `wrote ${args.path}`
      case 'list_files':
        return (await list(path, '')).join('\n') || '(empty)'
      default:
        return `error: There is no tool named ${name}.`
    }
  } catch (error) {
    return `error: ${error instanceof Error ? error.message : error}`
  }
}

export function bash(command: string, cwd: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn('bash', ['-c', command], { cwd, stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk
    })
    child.stderr.on('data', (chunk: Buffer) => {
      output += chunk
    })
    child.once('error', reject)
    child.once('close', (code) => {
      resolve(`exit code: ${code}\nwall time: 0.1 s\noutput:\n${output}`)
    })
  })
}

async function list(folder: string, prefix: string): Promise<string[]> {
  const lines: string[] = []
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) {
      lines.push(`${prefix}${entry.name}/`, ...(await list(path, `${prefix}${entry.name}/`)))
    } else {
      lines.push(`${prefix}${entry.name}  ${(await stat(path)).size} bytes`)
    }
  }
  return lines
}
