import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import type { ModelServer } from '../fakes/model-server.ts'
import { scriptPackage } from '../script-package.ts'

const cli = await scriptPackage('host/cli.ts')

/** Where nothing listens; for "there is no Docker". */
export const NO_DOCKER = { DOCKER_HOST: 'unix:///nonexistent/docker.sock' }

export interface CliOptions {
  env?: NodeJS.ProcessEnv
  /** What comes on stdin; by default nothing. `more` leaves it open. */
  input?: string | { more: true }
}

export interface CliResult {
  /** As a shell would say it. */
  code: number | null
  signal: NodeJS.Signals | null
  stdout: string
  stderr: string
}

/** Folders for the command line, and the command line in them. */
export interface Home {
  /** The command's file, for node. */
  cli: string
  /** The current folder of what is run, and so its workspace. */
  workspace: string
  dataDir: string
  env: NodeJS.ProcessEnv
  start(args: readonly string[], options?: CliOptions): RunningCli
  run(args: readonly string[], options?: CliOptions): Promise<CliResult>
  clear(): void
}

export interface RunningCli {
  child: ChildProcess
  result: Promise<CliResult>
}

/** Resolves when what the person has been told contains `words`, with all of it so far. */
export function said({ child }: RunningCli, words: string): Promise<string> {
  return new Promise((resolve) => {
    let stderr = ''
    child.stderr?.on('data', (chunk: Buffer) => {
      stderr += chunk
      if (stderr.includes(words)) resolve(stderr)
    })
  })
}

/** The environment in which `server` is asked as the API. */
export function asking(server: ModelServer, key = 'canary-key'): NodeJS.ProcessEnv {
  const baseUrl = new URL('.', server.endpoint.url).href
  return { AGENT_PROVIDER: 'openai', OPENAI_API_KEY: key, OPENAI_BASE_URL: baseUrl }
}

/** The demo on plain processes, unless the environment says something else. */
export function openHome(): Home {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'codexbox-cli-')))
  const workspace = join(folder, 'work')
  const dataDir = join(folder, 'data')
  mkdirSync(workspace)
  const env = {
    PATH: process.env.PATH,
    HOME: folder,
    TMPDIR: folder,
    CODEX_DATA_DIR: dataDir,
    AGENT_ENGINE: 'process',
    AGENT_PROVIDER: 'demo',
  }

  function start(args: readonly string[], options: CliOptions = {}): RunningCli {
    const child = spawn(process.execPath, [cli, ...args], {
      cwd: workspace,
      env: { ...env, ...options.env },
      stdio: ['pipe', 'pipe', 'pipe'],
    })
    child.stdin.on('error', () => {}) // It may be gone before it has read.
    if (typeof options.input !== 'object') child.stdin.end(options.input)
    const exit = new Promise<Pick<CliResult, 'code' | 'signal'>>((resolve) => {
      child.once('close', (code, signal) => resolve({ code, signal }))
    })
    const result = Promise.all([exit, text(child.stdout), text(child.stderr)]).then(
      ([end, stdout, stderr]) => ({ ...end, stdout, stderr }),
    )
    return { child, result }
  }

  return {
    cli,
    workspace,
    dataDir,
    env,
    start,
    run: (args, options) => start(args, options).result,
    clear: () => rmSync(folder, { recursive: true, force: true }),
  }
}
