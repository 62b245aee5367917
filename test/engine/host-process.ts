import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { ConversationOptions } from '../../host/open-conversation.ts'
import type { RunEvent } from '../../shared/protocol.ts'
import { scriptPackage } from '../script-package.ts'

/** An event of the run, or `{ type: 'refused', code, message }` instead of them. */
export interface HostLine {
  type: string
  [key: string]: unknown
}

export interface HostProcess {
  readonly child: ChildProcess
  /** The events of its run that nobody has read yet; ends with the process. */
  readonly events: AsyncGenerator<RunEvent>
  /** The next line of a type. Rejects with what it said on stderr when it ends before. */
  until(type: string): Promise<HostLine>
  /** Resolves when it has ended, with its exit code or the signal that ended it. */
  ended(): Promise<number | NodeJS.Signals>
}

const script = await scriptPackage('test/engine/host-script.ts')

/** Starts host-script.ts; `as` is a command to start it with, such as setpriv. */
export function startHost(
  options: Omit<ConversationOptions, 'settings'> & { prompt: string; settings?: object },
  { env = {}, as = [] }: { env?: NodeJS.ProcessEnv; as?: string[] } = {},
): HostProcess {
  const command = [...as, process.execPath, script, JSON.stringify(options)]
  const child = spawn(command[0] ?? '', command.slice(1), {
    // The engine of the test's own process, wherever that is.
    env: { ...pick('PATH', 'HOME', 'DOCKER_HOST', 'DOCKER_CONFIG', 'DOCKER_CONTEXT'), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let stderr = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  const exited = once(child, 'exit')
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  return {
    child,
    events: eventsOf(lines),
    async until(type) {
      const seen: string[] = []
      for (;;) {
        const { value: text, done } = await lines.next()
        if (done) throw new Error(`No '${type}' but: ${seen.join('\n')}\n${stderr}`)
        seen.push(text)
        const line = JSON.parse(text) as HostLine
        if (line.type === type) return line
      }
    },
    async ended() {
      const [code, signal] = await exited
      return code ?? signal
    },
  }
}

async function* eventsOf(lines: AsyncIterable<string>): AsyncGenerator<RunEvent> {
  for await (const line of lines) yield JSON.parse(line)
}

function pick(...names: string[]): NodeJS.ProcessEnv {
  return Object.fromEntries(names.map((name) => [name, process.env[name]]))
}
