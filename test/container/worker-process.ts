import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, vi } from 'vitest'
import type { ToolLimits, ToolResult } from '../../container/worker/tool.ts'
import type { WorkerAnswer, WorkerLine } from '../../container/worker/worker.ts'
import { agentFile } from '../../host/package-root.ts'
import { readLines } from '../../shared/read-lines.ts'

/** The worker as a process, seen from the agent's end of its pipes, with a workspace of its own. */
export interface WorkerProcess {
  readonly workspace: string
  /** Rejects when the worker ends before it has answered. */
  call(
    name: string,
    input: unknown,
    limits?: Partial<ToolLimits>,
    onOutput?: (text: string) => void,
  ): Promise<ToolResult>
  cancel(): void
  /** Ends its stdin, as when the agent is gone, and waits for its end. */
  stop(): Promise<void>
}

/** What a test hands over so that processes and folders go when it is over. */
export interface Cleanup {
  onTestFinished(cleanup: () => Promise<void>): void
}

type CallAnswer = Extract<WorkerAnswer, { id: number }>

/** A user without rights, where the tests run as root, who may do everything; otherwise nobody else. */
export const unprivileged = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {}

/**
 * Starts a worker. `wrapped` makes it start through bash, `"$@"` being its command line; `user` is
 * who it runs as.
 */
export function startWorker(
  { onTestFinished }: Cleanup,
  { wrapped = 'exec "$@"', user = {} }: { wrapped?: string; user?: object } = {},
): WorkerProcess {
  const folder = mkdtempSync(join(tmpdir(), 'codexbox-worker-'))
  const workspace = mkdtempSync(join(folder, 'workspace-'))
  for (const path of [folder, workspace]) chmodSync(path, 0o777)
  // Beside the workspace, since another user may not come to where the sources are.
  const file = join(folder, 'agent.cjs')
  copyFileSync(agentFile, file)

  const command = [process.execPath, file, 'worker', workspace]
  const child = spawn('bash', ['--norc', '-c', wrapped, 'bash', ...command], {
    cwd: '/',
    env: { PATH: process.env.PATH, TMPDIR: workspace, HOME: workspace },
    stdio: ['pipe', 'pipe', 'pipe'],
    ...user,
  })
  const exited = once(child, 'exit')
  const stop = async () => {
    child.stdin.end()
    await exited
  }
  const waiting = new Map<number, (answer: CallAnswer) => void>()
  void (async () => {
    for await (const line of readLines(child.stdout, 64 * 1024 * 1024)) {
      const answer = JSON.parse(line) as WorkerAnswer
      if ('id' in answer) waiting.get(answer.id)?.(answer)
    }
  })()
  const send = (line: WorkerLine) => void child.stdin.write(`${JSON.stringify(line)}\n`)

  let stderr = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })

  onTestFinished(async () => {
    await stop()
    rmSync(folder, { recursive: true, force: true })
    // In every test: no warning, no stack.
    expect(stderr).toBe('')
  })

  let lastId = 0
  return {
    workspace,
    call(name, input, limits, onOutput) {
      const id = ++lastId
      return new Promise((resolve, reject) => {
        waiting.set(id, (answer) => {
          if (answer.type === 'output') return onOutput?.(answer.text)
          const { type: _, id: __, ...result } = answer
          resolve(result)
        })
        void exited.then(() => reject(new Error('The worker ended before it had answered')))
        const all = { toolMs: 15_000, toolOutputBytes: 20_000, ...limits }
        send({ type: 'call', id, name, input, limits: all })
      })
    },
    cancel: () => send({ type: 'cancel' }),
    stop,
  }
}

/** A process counts as gone when it is dead, though nobody may have asked for its end yet. */
export function isAlive(pid: number): boolean {
  try {
    const [, state] = /\) (\w)/.exec(readFileSync(`/proc/${pid}/stat`, 'utf8')) ?? []
    return state !== 'Z' && state !== 'X'
  } catch {
    return false
  }
}

/** The kernel needs a moment to end a process that was killed. */
export async function expectGone(pids: readonly number[]): Promise<void> {
  expect(pids.length).toBeGreaterThan(0)
  expect(pids.every((pid) => Number.isSafeInteger(pid) && pid > 1)).toBe(true)
  await vi.waitFor(() => expect(pids.filter(isAlive)).toEqual([]), { timeout: 3000, interval: 10 })
}
