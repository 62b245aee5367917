import { randomUUID } from 'node:crypto'
import { CodexboxError } from '../../shared/errors.ts'
import { type HostLine, type RunEvent, RunLimits, type RunRequest } from '../../shared/protocol.ts'
import { PROTOCOL_VERSION } from '../../shared/protocol-version.ts'
import type { Secrets } from '../../shared/secrets.ts'
import { type Config, type CredentialsMode, type NetworkMode, readConfig } from '../config.ts'
import { chooseEngine } from '../engine/choose-engine.ts'
import type { AgentProcess, Engine } from '../engine/engine.ts'
import { GATEWAY_URL, type Gateway, openGateway } from '../gateway/gateway.ts'
import { chooseProvider } from '../providers/choose-provider.ts'
import type { ModelConnection, ProviderPlugin } from '../providers/provider.ts'
import { historyOf } from './history.ts'
import { instructions } from './instructions.ts'
import { readEvents } from './read-events.ts'
import { type Finished, Run } from './run.ts'
import { newSessionName, SessionLog } from './session-log.ts'
import { openWorkspace, type Workspace } from './workspace.ts'

const SECOND = 1000
const MINUTE = 60 * SECOND

/** How long the agent may take to end a run that is out of time. */
const OVERDUE_MS = 30 * SECOND

const DEFAULT_LIMITS: RunLimits = {
  maxTurns: 200,
  runMs: 60 * MINUTE,
  idleMs: 15 * MINUTE,
  streamIdleMs: 5 * MINUTE,
  toolMs: 10 * MINUTE,
  toolOutputBytes: 40_000,
}

export interface ConversationOptions {
  /** The folder the agent works in. Default: the current one. */
  workspace?: string
  /** Session to continue or to begin. Default: a new one, named by the time. */
  session?: string
  /** Replaces single settings of the environment and the `.env`. */
  settings?: Partial<Config>
  limits?: Partial<RunLimits>
}

/**
 * Opens a conversation: checks the workspace, the sign-in and the engine, and opens the session.
 * Nothing is started yet.
 * @throws CodexboxError `config-invalid`, `workspace-invalid`, `not-signed-in`, `engine-unavailable`,
 * `image-missing`, `session-invalid`, `session-busy`
 */
export async function openConversation(options: ConversationOptions = {}): Promise<Conversation> {
  const config: Config = { ...readConfig(), ...options.settings }
  const workspace = openWorkspace(options.workspace ?? process.cwd(), config.dataDir)
  const { provider, notice } = chooseProvider(config)
  const { engine, missing } = await chooseEngine(config, provider.name === 'demo')
  const log = await SessionLog.open(config.dataDir, options.session ?? newSessionName())
  return new Conversation({
    config,
    workspace,
    provider,
    engine,
    log,
    limits: checkLimits(options.limits),
    notices: [
      notice,
      missing && `${missing.message} Until then the demo runs without a container.`,
    ].filter((text) => text !== undefined),
  })
}

function checkLimits(limits: Partial<RunLimits> = {}): RunLimits {
  const parsed = RunLimits.safeParse({ ...DEFAULT_LIMITS, ...limits })
  if (parsed.success) return parsed.data
  const { path, message } = parsed.error.issues[0] ?? { path: [], message: 'invalid' }
  throw new CodexboxError('wrong-use', `The limit ${path.join('.')} cannot be used: ${message}.`)
}

/** Direct mode sends the container to the service itself, which it must be able to reach. */
function checkReach(config: Config, engine: Engine, url: URL): void {
  if (config.credentials !== 'direct' || engine.name !== 'docker') return
  if (config.network !== 'open') {
    throw new CodexboxError(
      'config-invalid',
      'AGENT_CREDENTIALS=direct needs a network in the container: set AGENT_NETWORK=open as well, or use sealed.',
    )
  }
  if (/^(localhost|127\..*|\[::1\])$/.test(url.hostname)) {
    throw new CodexboxError(
      'config-invalid',
      `AGENT_CREDENTIALS=direct cannot be used with ${url.origin}: inside a container that is the container itself. Use sealed.`,
    )
  }
}

interface Parts {
  config: Config
  workspace: Workspace
  provider: ProviderPlugin
  engine: Engine
  log: SessionLog
  limits: RunLimits
  notices: string[]
}

/** A running agent and what was opened for it. */
interface Started {
  agent: AgentProcess
  events: AsyncGenerator<RunEvent>
  /** Only in sealed mode. */
  gateway: Gateway | undefined
  /** An agent leaves by itself when it is idle for long. */
  hasExited(): boolean
}

/**
 * A chat with one agent. Its container is started by the first run, serves the following ones, leaves
 * by itself when nothing is asked for a while, and is started anew, with the history, when needed.
 */
export class Conversation {
  readonly #parts: Parts
  #connection: ModelConnection | undefined
  #started: Started | undefined
  #current: Run | undefined
  #closing: Promise<void> | undefined

  constructor(parts: Parts) {
    this.#parts = parts
  }

  get session(): string {
    return this.#parts.log.name
  }

  get provider(): string {
    return this.#parts.provider.name
  }

  get engine(): Engine {
    return this.#parts.engine
  }

  get network(): NetworkMode {
    return this.#parts.config.network
  }

  get credentials(): CredentialsMode {
    return this.#parts.config.credentials
  }

  /** Whether tools run as another user than the agent, which holds the secrets. */
  get toolsIsolated(): boolean {
    const { engine, workspace } = this.#parts
    return engine.name === 'docker' && workspace.user !== undefined && workspace.user.uid !== 0
  }

  get workspace(): string {
    return this.#parts.workspace.path
  }

  /** Known once the first run has begun. */
  get model(): string | undefined {
    return this.#parts.config.model ?? this.#connection?.defaultModel
  }

  /** What the user should know before the first run. */
  get notices(): readonly string[] {
    return this.#parts.notices
  }

  /** Asks the agent something. One run at a time. */
  run(prompt: string): Run {
    if (this.#closing) throw new CodexboxError('wrong-use', 'This conversation is closed.')
    if (this.#current)
      throw new CodexboxError('wrong-use', 'The run before this one still goes on.')
    if (prompt.trim() === '') throw new CodexboxError('wrong-use', 'The prompt is empty.')
    const run = new Run(randomUUID())
    this.#current = run
    void this.#drive(run, prompt)
    return run
  }

  /** Ends what runs, removes the container and gives the session back. May be called often. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    const current = this.#current
    current?.interrupt()
    await current?.result
    await this.#stopAgent(true)
    await this.#connection?.close()
    await this.#parts.log.close()
  }

  /** Never rejects: every way out is a `finished` event, said when all is cleaned up behind the run. */
  async #drive(run: Run, prompt: string): Promise<void> {
    let end: Finished
    try {
      const connection = await this.#connect()
      this.#logRun(run, connection)
      end = await this.#ask(run, prompt)
    } catch (error) {
      end = run.failure(await this.#explain(error))
      await this.#stopAgent(false)
    }
    try {
      this.#parts.log.append({ ...end, runId: run.id })
    } catch {
      // The session can go on without this line, and whatever else could not be kept has failed the run.
    }
    this.#current = undefined
    run.emit(end)
  }

  /** Has the agent do the run. Rejects when the container does not get to the end of it. */
  async #ask(run: Run, prompt: string): Promise<Finished> {
    const { agent, gateway, events, isNew } = await this.#agentFor(run)
    const write = (line: HostLine | RunRequest) => {
      agent.stdin.write(`${JSON.stringify(line)}\n`)
    }
    let secrets = await this.#secretsFor(gateway)
    const renewSecrets = async () => {
      const renewed = await this.#secretsFor(gateway, secrets.CODEX_ACCESS_TOKEN)
      gateway?.revoke(secrets.CODEX_ACCESS_TOKEN)
      secrets = renewed
      write({ type: 'secrets', secrets })
    }
    run.attach({ send: write, kill: () => void stop(agent, 0) })
    write(
      isNew
        ? this.#request(run, prompt, secrets, agent, gateway)
        : { type: 'prompt', runId: run.id, prompt, secrets },
    )
    try {
      return await this.#follow(run, { agent, events }, renewSecrets)
    } catch (error) {
      const hasLeft = error instanceof OutputEndedError && !error.hasBegun
      if (isNew || !hasLeft) throw error
    } finally {
      gateway?.revoke(secrets.CODEX_ACCESS_TOKEN)
    }
    // It was just leaving, being idle, and has not read the prompt.
    await this.#stopAgent(false)
    return this.#ask(run, prompt)
  }

  /** Hands events on up to the run's terminal one. Rejects when the container does not get that far. */
  async #follow(
    run: Run,
    { agent, events }: Pick<Started, 'agent' | 'events'>,
    renewSecrets: () => Promise<void>,
  ): Promise<Finished> {
    const { limits, log } = this.#parts
    let isOverdue = false
    let hasBegun = false
    // The agent keeps the limit itself, unless it is stuck or is not ours any more.
    const overdue = setTimeout(() => {
      isOverdue = true
      void stop(agent, 0)
    }, limits.runMs + OVERDUE_MS)
    try {
      for (;;) {
        const { value: event, done } = await events.next()
        if (isOverdue) throw overdueError(limits.runMs)
        if (done) throw new OutputEndedError(hasBegun)
        if (event.runId !== run.id) throw violation(`an event of another run (${event.type})`)
        hasBegun = true
        const { v: _v, seq: _seq, runId: _runId, ...body } = event
        if (body.type === 'finished') return body
        if (body.type === 'item') log.append({ type: 'item', runId: run.id, item: body.item })
        run.emit(body)
        // Rejects with the reason when there are none, which tells more than the service's refusal.
        if (body.type === 'secrets.needed') await renewSecrets()
      }
    } finally {
      clearTimeout(overdue)
    }
  }

  async #connect(): Promise<ModelConnection> {
    const { config, engine, provider } = this.#parts
    if (!provider.connect) {
      throw new CodexboxError(
        'config-invalid',
        `The provider ${provider.name} cannot run by itself.`,
      )
    }
    this.#connection ??= await provider.connect()
    checkReach(config, engine, this.#connection.responsesUrl)
    return this.#connection
  }

  /** The agent that is still there from the run before, or a new one. */
  async #agentFor(run: Run): Promise<Started & { isNew: boolean }> {
    if (this.#started && !this.#started.hasExited()) return { ...this.#started, isNew: false }
    await this.#stopAgent(false)
    const { config, engine, provider, workspace } = this.#parts
    const connection = await this.#connect()
    const gateway = config.credentials === 'sealed' ? await openGateway(connection) : undefined
    try {
      const agent = await engine.start({
        name: `codexbox-${run.id}`,
        agentFile: provider.containerProvider,
        workspace: workspace.path,
        socketFolder: gateway?.socketFolder,
        network: config.network,
        user: workspace.user,
      })
      let hasExited = false
      void agent.exited.then(() => {
        hasExited = true
      })
      const events = readEvents(agent.stdout)
      this.#started = { agent, gateway, events, hasExited: () => hasExited }
      return { ...this.#started, isNew: true }
    } catch (error) {
      await gateway?.close()
      throw error
    }
  }

  /** Sealed: a capability for this run. Direct: the real token. */
  async #secretsFor(gateway: Gateway | undefined, rejectedToken?: string): Promise<Secrets> {
    const connection = await this.#connect()
    if (!gateway) return connection.getSecrets(rejectedToken)
    // Renewed on the host already, if that could be; when it could not, this says why.
    if (rejectedToken) await connection.getSecrets()
    return { CODEX_ACCESS_TOKEN: gateway.grant() }
  }

  #request(
    run: Run,
    prompt: string,
    secrets: Secrets,
    { view }: AgentProcess,
    gateway: Gateway | undefined,
  ): RunRequest {
    const { config, limits, log } = this.#parts
    const connection = this.#connection as ModelConnection
    const { items, repairs } = historyOf(log.lines, connection.owner)
    for (const message of [...log.repairs.splice(0), ...repairs])
      run.emit({ type: 'repair', message })
    return {
      version: PROTOCOL_VERSION,
      runId: run.id,
      conversationId: log.id,
      prompt,
      history: items,
      secrets,
      endpoint: {
        url: gateway ? GATEWAY_URL : connection.responsesUrl.href,
        ...(gateway && view.socketPath ? { socketPath: view.socketPath } : {}),
        headers: connection.headers,
      },
      model: config.model ?? connection.defaultModel,
      instructions: instructions(view.workspace),
      reasoning: {
        ...(config.effort ? { effort: config.effort } : {}),
        ...(config.summary ? { summary: config.summary } : {}),
      },
      ...(config.verbosity ? { verbosity: config.verbosity } : {}),
      workspace: view.workspace,
      ...(view.worker ? { worker: view.worker } : {}),
      limits,
    }
  }

  #logRun(run: Run, connection: ModelConnection): void {
    const { config, log, provider, workspace } = this.#parts
    log.append({
      type: 'run',
      runId: run.id,
      at: new Date().toISOString(),
      provider: provider.name,
      model: config.model ?? connection.defaultModel,
      owner: connection.owner,
      workspace: workspace.path,
    })
  }

  /** Turns "the output ended" into what the engine says about it. */
  async #explain(error: unknown): Promise<unknown> {
    if (!(error instanceof OutputEndedError) || !this.#started) return error
    const { agent } = this.#started
    const exit = await agent.exited
    const how =
      'lost' in exit
        ? exit.lost
        : `it ended with ${exit.signal ?? `exit code ${exit.code}`}${exit.code === 137 ? ' (killed, perhaps for want of memory)' : ''}`
    const said = agent.stderrTail()
    return new CodexboxError(
      'container-lost',
      `The container was lost before the run had finished: ${how}.${said ? ` It said: ${said}` : ''}`,
    )
  }

  async #stopAgent(inGoodOrder: boolean): Promise<void> {
    const started = this.#started
    this.#started = undefined
    if (!started) return
    if (inGoodOrder) started.agent.stdin.end(`${JSON.stringify({ type: 'close' })}\n`)
    await stop(started.agent, inGoodOrder ? 5 * SECOND : 0)
    await started.gateway?.close()
  }
}

/**
 * An engine that is gone cannot remove anything; that it is gone is said by the agent's exit. The
 * container leaves by itself, since nobody holds its stdin any more.
 */
async function stop(agent: AgentProcess, graceMs: number): Promise<void> {
  await agent.stop(graceMs).catch(() => {})
}

/** The container's stdout ended before the terminal event. */
class OutputEndedError extends Error {
  /** Whether it had said anything about the run by then. */
  readonly hasBegun: boolean

  constructor(hasBegun: boolean) {
    super()
    this.hasBegun = hasBegun
  }
}

function overdueError(runMs: number): CodexboxError {
  return new CodexboxError(
    'run-timeout',
    `The run did not end by itself after its ${runMs / SECOND} s; its container was stopped.`,
  )
}

function violation(what: string): CodexboxError {
  return new CodexboxError('protocol-violation', `The container wrote ${what}; it was stopped.`)
}
