import {
  type ChildProcess,
  type ChildProcessByStdio,
  execFileSync,
  spawn,
} from 'node:child_process'
import { once } from 'node:events'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { setTimeout as pause } from 'node:timers/promises'
import { scriptPackage } from '../script-package.ts'
import type { TokenProcessOptions } from './token-process.ts'

/** Hosts at a token store, each a process of its own that runs `token-process.ts`. */
export interface TokenProcesses {
  /** Starts one at one of the tasks of that script. */
  start(task: string, options: TokenProcessOptions): TokenProcess
  /** The script that is started for a renewal. */
  renewalFile: string
  /** The processes for renewals that the hosts have started, at work or not. */
  renewalPids(): number[]
  /** Resolves when the last of those has ended. */
  idle(): Promise<void>
  /** Kills the hosts that still run, and waits for the renewals they have begun. */
  end(): Promise<void>
}

export interface TokenProcess {
  /** It leads a process group of its own, as under a shell. */
  child: ChildProcessByStdio<Writable, Readable, null>
  /** What it says. */
  lines: AsyncIterableIterator<string>
  nextLine(): Promise<string>
}

export const isRunning = ({ exitCode, signalCode }: ChildProcess) =>
  exitCode === null && signalCode === null

/** For the top of a test file, like `scriptPackage`. */
export async function tokenProcesses(): Promise<TokenProcesses> {
  const file = await scriptPackage('test/auth/token-process.ts')
  const renewalFile = join(dirname(file), 'renewal-process.js')
  // Their parents may be dead, so there is nobody to tell of them.
  const renewalPids = () => {
    const lines = execFileSync('ps', ['-A', '-o', 'pid=,args=']).toString().split('\n')
    return lines
      .filter((line) => line.includes(renewalFile))
      .map((line) => Number.parseInt(line, 10))
  }
  const idle = async () => {
    while (renewalPids().length > 0) await pause(20)
  }
  const children: ChildProcess[] = []
  return {
    start: (task, options) => {
      const child = spawn(process.execPath, [file, task, JSON.stringify(options)], {
        stdio: ['pipe', 'pipe', 'inherit'],
        detached: true,
      })
      child.stdin.on('error', () => {})
      children.push(child)
      const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
      return { child, lines, nextLine: async () => String((await lines.next()).value) }
    },
    renewalFile,
    renewalPids,
    idle,
    end: async () => {
      const left = children.splice(0).filter(isRunning)
      for (const child of left) child.kill('SIGKILL')
      await Promise.all(left.map((child) => once(child, 'close')))
      await idle()
    },
  }
}
