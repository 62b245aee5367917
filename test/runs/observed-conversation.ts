import { mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { readConfig } from '../../host/config.ts'
import type { AgentProcess, AgentSpec, Engine } from '../../host/engine/engine.ts'
import { processEngine } from '../../host/engine/process-engine.ts'
import { watchAutorun } from '../../host/outer/autorun/watch.ts'
import { openEgressProxy } from '../../host/outer/egress/open-egress-proxy.ts'
import { openaiProvider } from '../../host/providers/openai.ts'
import { Conversation } from '../../host/runs/conversation.ts'
import type { OutputSchema } from '../../host/runs/output-schema.ts'
import { type SessionLine, SessionLog } from '../../host/runs/session-log.ts'
import { openWorkspace } from '../../host/workspace/open-workspace.ts'
import type { RunLimits } from '../../shared/protocol.ts'
import { type Exchange, type ModelServer, startModelServer } from '../fakes/model-server.ts'

/** The real credential: it may be seen by the model server and by nobody else. */
export const KEY = 'sk-canary-91c2f7'

/** An agent that was started, and what it was told. */
export interface ObservedStart {
  spec: AgentSpec
  agent: AgentProcess
  /** Lines on its stdin so far. */
  lines: string[]
}

/** Folders and a model server for conversations on plain processes, all of it to be looked into. */
export interface Bench {
  readonly server: ModelServer
  workspace: string
  dataDir: string
  starts: ObservedStart[]
  open(options?: OpenOptions): Promise<Conversation>
  /** Forgets what is left of the script; what is opened from now on asks a new server. */
  renewServer(): Promise<void>
  /** The lines of the session as they are on disk. */
  logged(): SessionLine[]
  /** A container script of the test's own: the path of `source` as a file. */
  agentFile(source: string): string
  /** Closes what is still open and removes the folders. */
  clear(): Promise<void>
}

export interface OpenOptions {
  key?: string
  /** Instead of the bench's own. */
  workspace?: string
  limits?: Partial<RunLimits>
  /** Instead of the real container script. */
  agentFile?: string
  engine?: Partial<Engine>
  outputSchema?: OutputSchema
  isGitOutside?: boolean
  /** Called with the session before the conversation has it. */
  prepare?: (log: SessionLog) => void
}

export const SESSION = 'observed'

export async function openBench(script: readonly Exchange[] = []): Promise<Bench> {
  let server = await startModelServer(script)
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'codexbox-bench-')))
  const workspace = join(folder, 'work')
  const dataDir = join(folder, 'data')
  await mkdir(workspace)
  const starts: ObservedStart[] = []
  const opened: Conversation[] = []

  return {
    get server() {
      return server
    },
    workspace,
    dataDir,
    starts,
    async open(options = {}) {
      const { key = KEY, limits, agentFile, engine, outputSchema, isGitOutside, prepare } = options
      const folderOfWork = options.workspace ?? workspace
      const env = { OPENAI_API_KEY: key, OPENAI_BASE_URL: new URL('.', server.endpoint.url).href }
      const config = readConfig({ ...env, CODEX_DATA_DIR: dataDir }, folder)
      const provider = openaiProvider(config)
      const log = await SessionLog.open(dataDir, SESSION)
      prepare?.(log)
      const conversation = new Conversation({
        config,
        // As whoever the tests run as.
        workspace: openWorkspace(folderOfWork, dataDir),
        watch: watchAutorun(folderOfWork),
        openEgressProxy,
        provider: { ...provider, ...(agentFile ? { containerProvider: agentFile } : {}) },
        engine: { ...observed(processEngine, starts), ...engine },
        log,
        limits: { ...LIMITS, ...limits },
        outputSchema,
        webSearch: false,
        ...(isGitOutside ? { isGitOutside } : {}),
        notices: [],
      })
      opened.push(conversation)
      return conversation
    },
    async renewServer() {
      await server.close()
      server = await startModelServer([])
    },
    logged: () =>
      readFileSync(join(dataDir, 'sessions', `${SESSION}.jsonl`), 'utf8')
        .split('\n')
        .slice(0, -1)
        .map((line) => JSON.parse(line)),
    agentFile(source) {
      const file = join(folder, 'agent.cjs')
      writeFileSync(file, source)
      return file
    },
    async clear() {
      await Promise.all(opened.map((conversation) => conversation.close()))
      await server.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

const LIMITS: RunLimits = {
  maxTurns: 20,
  runMs: 15_000,
  idleMs: 15_000,
  firstEventMs: 10_000,
  streamIdleMs: 10_000,
  toolMs: 10_000,
  toolOutputBytes: 20_000,
}

function observed(engine: Engine, starts: ObservedStart[]): Engine {
  return {
    ...engine,
    async start(spec) {
      const agent = await engine.start(spec)
      const lines: string[] = []
      const stdin = new Writable({
        write(chunk, _encoding, done) {
          lines.push(String(chunk))
          agent.stdin.write(chunk)
          done()
        },
        final(done) {
          agent.stdin.end()
          done()
        },
      })
      starts.push({ spec, agent, lines })
      return { ...agent, stdin }
    },
  }
}
