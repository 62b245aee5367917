import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { dirname } from 'node:path'
import { createInterface } from 'node:readline'
import type { RunEvent } from '../../shared/protocol.ts'

export interface SpawnedHostOptions {
  /** host-process.ts as a file for plain Node. */
  script: string
  workspace: string
  dataDir: string
  session: string
  prompt: string
  /** Where the model is asked. */
  modelUrl: string
  /** The key for it. */
  key: string
  engine?: 'process' | 'docker'
}

/** A host in a process of its own, with one run. */
export interface SpawnedHost {
  readonly child: ChildProcess
  /** Of the run; ends with the process. */
  readonly events: AsyncGenerator<RunEvent>
  /** How it ended. */
  readonly exited: Promise<[code: number | null, signal: NodeJS.Signals | null]>
}

export function spawnHost(options: SpawnedHostOptions): SpawnedHost {
  const { script, workspace, dataDir, session, prompt, modelUrl, key, engine } = options
  const { PATH, HOME, DOCKER_HOST, DOCKER_CONFIG, DOCKER_CONTEXT, AGENT_IMAGE } = process.env
  const child = spawn(process.execPath, [script, workspace, session, prompt], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {
      PATH,
      ...(engine === 'docker' ? { HOME, DOCKER_HOST, DOCKER_CONFIG, DOCKER_CONTEXT } : {}),
      ...(AGENT_IMAGE ? { AGENT_IMAGE } : {}),
      // What a killed host leaves there goes with the test's own folder.
      TMPDIR: dirname(dataDir),
      AGENT_ENGINE: engine ?? 'process',
      AGENT_PROVIDER: 'openai',
      OPENAI_API_KEY: key,
      OPENAI_BASE_URL: new URL('.', modelUrl).href,
      CODEX_DATA_DIR: dataDir,
    },
  })
  const exited = once(child, 'exit') as SpawnedHost['exited']
  return { child, events: eventsOf(child), exited }
}

async function* eventsOf({ stdout }: ChildProcess): AsyncGenerator<RunEvent> {
  if (!stdout) return
  for await (const line of createInterface({ input: stdout })) yield JSON.parse(line)
}
