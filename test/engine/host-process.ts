import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { packageRoot } from '../../host/package-root.ts'
import type { ConversationOptions } from '../../host/runs/open-conversation.ts'

/** An event of the run, or `{ type: 'refused', code, message }` instead of them. */
export interface HostLine {
  type: string
  [key: string]: unknown
}

export interface HostProcess {
  readonly child: ChildProcess
  /** The next line of a type. Rejects with what it said on stderr when it ends before. */
  until(type: string): Promise<HostLine>
  /** Resolves when it has ended, with its exit code. */
  ended(): Promise<number | null>
}

const HOST_SCRIPT = join(import.meta.dirname, 'host-script.ts')

/**
 * Starts host-script.ts; `as` is a command to start it with, such as setpriv, and `script` is what was
 * made of it for plain Node.
 */
export function startHost(
  options: Omit<ConversationOptions, 'settings'> & { prompt: string; settings: object },
  { env = {}, as = [], script }: { env?: NodeJS.ProcessEnv; as?: string[]; script?: string } = {},
): HostProcess {
  const node = script ? [script] : ['--import', 'tsx', HOST_SCRIPT]
  const command = [...as, process.execPath, ...node, JSON.stringify(options)]
  const child = spawn(command[0] ?? '', command.slice(1), {
    cwd: packageRoot,
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
      const [code] = await exited
      return code
    },
  }
}

function pick(...names: string[]): NodeJS.ProcessEnv {
  return Object.fromEntries(names.map((name) => [name, process.env[name]]))
}
