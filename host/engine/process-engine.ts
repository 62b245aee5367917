import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { messageOf } from '../../shared/errors.ts'
import { type AgentExit, type Engine, tailOf } from './engine.ts'

/** The host's variables that a tool may see. The others are the user's and could hold secrets. */
const PASSED_ON = ['PATH', 'HOME', 'LANG', 'LC_ALL', 'TMPDIR', 'TZ', 'USER', 'SHELL', 'SystemRoot']

/**
 * Runs agents as plain processes of this user: no isolation at all, the tools have all rights of the
 * user. For the demo, and for callers that name this engine.
 */
export const processEngine: Engine = {
  name: 'process',
  description: 'plain processes on this machine, without isolation',

  async check() {},

  async start(spec) {
    const env = Object.fromEntries(
      PASSED_ON.flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : [])),
    )
    const child = spawn(process.execPath, [spec.agentFile], {
      cwd: spec.workspace.path,
      env: { ...env, GIT_TERMINAL_PROMPT: '0', PAGER: 'cat' },
      stdio: ['pipe', 'pipe', 'pipe'],
      // Outside the terminal's process group: the host handles Ctrl-C.
      detached: true,
    })
    child.stdin.on('error', () => {}) // The exit reports an agent that is gone.
    const exited = new Promise<AgentExit>((resolve) => {
      child.once('error', (error) => resolve({ lost: messageOf(error) }))
      child.once('exit', (code, signal) => resolve({ code, signal }))
    })
    return {
      view: {
        workspace: spec.workspace.path,
        socketPath: spec.socketFolder && join(spec.socketFolder, 'gateway.sock'),
        worker: undefined,
      },
      stdin: child.stdin,
      stdout: child.stdout,
      stderrTail: tailOf(child.stderr),
      exited,
      async stop(graceMs) {
        if (child.exitCode !== null || child.signalCode !== null) return
        if (graceMs > 0) {
          child.kill('SIGTERM')
          await Promise.race([exited, sleep(graceMs, undefined, { ref: false })])
        }
        child.kill('SIGKILL')
        await exited
      },
    }
  },
}
