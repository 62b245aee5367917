import { randomUUID } from 'node:crypto'
import { dirname, join } from 'node:path'
import { CodexboxError } from '../../shared/errors.ts'
import type { Limits } from '../../shared/limits.ts'
import type { EventBody, RunLimits, RunRequest } from '../../shared/protocol.ts'
import { PROTOCOL_VERSION } from '../../shared/protocol-version.ts'
import type { Secrets } from '../../shared/secrets.ts'
import type { Config, CredentialsMode } from '../config.ts'
import { type DebugLog, openDebugLog } from '../debug-log.ts'
import type { Engine } from '../engine/engine.ts'
import { sharingNotice } from '../engine/workspace-sharers.ts'
import { GATEWAY_URL, type Gateway, openGateway } from '../gateway/gateway.ts'
import { openRequestLog, type RequestLog } from '../gateway/request-log.ts'
import { budgetOf } from '../gateway/run-budget.ts'
import type { RequestSettings } from '../models/request-settings.ts'
import type { ModelConnection, ProviderPlugin } from '../providers/provider.ts'
import { gitIdentity } from '../workspace/git-identity.ts'
import { type MountSource, releaseSources } from '../workspace/mount-source.ts'
import { holdWorkspace, type Workspace } from '../workspace/open-workspace.ts'
import { pinGit } from '../workspace/pin-git.ts'
import { AgentSession } from './agent-session.ts'
import { historyOf, isUnfinished, lastWorkspace } from './history.ts'
import { instructions } from './instructions.ts'
import { describeNetwork, type EgressProxy, type OpenEgressProxy } from './network.ts'
import type { OutputSchema } from './output-schema.ts'
import { type Finished, Run, type RunOptions } from './run.ts'
import type { SessionLog } from './session-log.ts'
import type { AutorunChanges, WorkspaceWatch } from './workspace-watch.ts'

/** The user's input for a run. */
type RunInput = Pick<RunRequest, 'prompt' | 'images'>

/** The parts of a conversation; `openConversation` finds and checks them. */
export interface Parts {
  config: Config
  workspace: Workspace
  watch: WorkspaceWatch
  provider: ProviderPlugin
  engine: Engine
  log: SessionLog
  limits: RunLimits
  openEgressProxy: OpenEgressProxy
  outputSchema: OutputSchema | undefined
  webSearch: boolean
  /** For the user, before the first run. */
  notices: readonly string[]
  /** Whether git works in the workspace and cannot in a container. Default: no. */
  isGitOutside?: boolean
}

/**
 * A chat with one agent. The first run starts its container, which serves the following runs, exits
 * when it is idle for a while, and is started again, with the history, when needed.
 */
export class Conversation {
  readonly #parts: Parts
  /** Not emitted yet. */
  #notices: readonly string[]
  /** The gateway's traffic. */
  readonly #debug: DebugLog
  #requestLog: RequestLog | undefined
  #connection: ModelConnection | undefined
  /** Set by the first run. */
  #settings!: RequestSettings
  #live: AgentSession | undefined
  /** The git author of its tools; plain processes have the user's own. Read in parallel with the start. */
  readonly #identity: Promise<string | undefined> | undefined
  #gitConfig: string | undefined
  /** The proxy of its tools, with a list of allowed hosts. */
  #egress: EgressProxy | undefined
  #current: Run | undefined
  #closing: Promise<AutorunChanges | undefined> | undefined

  constructor(parts: Parts) {
    this.#parts = parts
    this.#identity = parts.engine.name === 'docker' ? gitIdentity() : undefined
    this.#debug = openDebugLog(process.env.CODEXBOX_DEBUG)
    const { problem } = this.#debug
    this.#notices = problem ? [...parts.notices, problem] : parts.notices
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

  /** For people: `none`, `open`, or the allowed hosts. */
  get network(): string {
    return describeNetwork(this.#parts.config.network)
  }

  get credentials(): CredentialsMode {
    return this.#parts.config.credentials
  }

  get workspace(): string {
    return this.#parts.workspace.path
  }

  /** Known once the first run has begun. */
  get model(): string | undefined {
    return this.#settings?.model ?? this.#parts.config.model
  }

  /** Notices for the user before the first run, which emits those not taken as `notice` events. */
  takeNotices(): readonly string[] {
    const notices = this.#notices
    this.#notices = []
    return notices
  }

  /** Starts a run with a prompt. One run at a time. `images` are data URLs. */
  run(prompt: string, options: RunOptions & { images?: readonly string[] } = {}): Run {
    if (prompt.trim() === '') throw new CodexboxError('wrong-use', 'The prompt is empty.')
    const { images } = options
    return this.#begin({ prompt, ...(images?.length ? { images: [...images] } : {}) }, options)
  }

  /**
   * Continues at the end of the session, without a prompt: after a crash, a failure or a limit.
   * @throws CodexboxError `wrong-use` when the session is empty, or its last run is done
   */
  resume(options: RunOptions = {}): Run {
    const { lines } = this.#parts.log
    if (!isUnfinished(lines)) {
      const why = lines.some(({ type }) => type === 'item') ? 'ended with its answer' : 'is empty'
      throw new CodexboxError(
        'wrong-use',
        `There is nothing to go on with: the session ${this.session} ${why}. Give a prompt.`,
      )
    }
    return this.#begin({}, options)
  }

  #begin(input: RunInput, options: RunOptions): Run {
    if (this.#closing) throw new CodexboxError('wrong-use', 'This conversation is closed.')
    if (this.#current)
      throw new CodexboxError('wrong-use', 'The run before this one still goes on.')
    const run = new Run(randomUUID(), options)
    this.#current = run
    void this.#drive(run, input)
    return run
  }

  /**
   * Ends the current run, removes the container and releases the session. Idempotent. Resolves with the autorun files
   * that changed since the end of the last run, such as those written by background commands.
   */
  close(): Promise<AutorunChanges | undefined> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<AutorunChanges | undefined> {
    const current = this.#current
    current?.interrupt()
    await current?.result
    await this.#stopAgent('leave')
    await this.#connection?.close()
    await this.#parts.log.close()
    this.#requestLog?.close()
    this.#debug.close()
    return this.#parts.watch.containerGone()
  }

  /** Never rejects: every outcome is a `finished` event, emitted after the cleanup. */
  async #drive(run: Run, input: RunInput): Promise<void> {
    let end: Finished
    for (const message of this.takeNotices()) run.emit({ type: 'notice', message })
    try {
      const toolsMayStart = this.#parts.watch.runBegins(run)
      const connection = await this.#connect()
      await this.#chooseSettings(run, connection)
      this.#logRun(run, connection)
      end = this.#checked(await this.#driveOnAgent(run, input, connection, toolsMayStart), run)
    } catch (error) {
      end = run.failure(error)
      await this.#stopAgent('at-once')
    }
    try {
      this.#parts.log.append({ ...end, runId: run.id })
    } catch {
      // The session can go on without this line; a failure to persist any other line has failed the run.
    }
    await this.#parts.watch.runOver(run)
    this.#current = undefined
    run.emit(end)
  }

  /** Drives the run on the agent of the previous run, or on a new one. */
  async #driveOnAgent(
    run: Run,
    input: RunInput,
    connection: ModelConnection,
    toolsMayStart: () => Promise<void>,
  ): Promise<Finished> {
    const { limits, log } = this.#parts
    if (this.#live?.hasExited) await this.#stopAgent('at-once')
    this.#live ??= await this.#startAgent(run, connection)
    const live = this.#live
    const { isNew } = live
    const end = await live.driveRun(run, {
      line: (secrets) =>
        isNew
          ? this.#request(run, input, secrets, live, connection)
          : { type: 'prompt', runId: run.id, ...input, secrets },
      limits,
      toolsMayStart,
      onEvent: (event) => {
        if (event.type === 'limits') this.#reportLimits(run, event.limits, connection)
        const line = sessionLineOf(event)
        if (line) log.append({ ...line, runId: run.id })
      },
    })
    if (end) return end
    await this.#stopAgent('at-once')
    return this.#driveOnAgent(run, input, connection, toolsMayStart)
  }

  #reportLimits(run: Run, limits: Limits, connection: ModelConnection): void {
    const { notices = [] } = connection.sawLimits?.(limits) ?? {}
    for (const message of notices) run.emit({ type: 'notice', message })
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

  /** Chooses the request settings once, with a notice for each setting that is not available. */
  async #chooseSettings(run: Run, connection: ModelConnection): Promise<void> {
    if (this.#settings) return
    const { config, webSearch } = this.#parts
    this.#settings = await connection.settingsFor({ ...config, webSearch })
    for (const message of this.#settings.notices) run.emit({ type: 'notice', message })
  }

  async #startAgent(run: Run, connection: ModelConnection): Promise<AgentSession> {
    const { config, engine, provider, workspace } = this.#parts
    const gateway =
      config.credentials === 'sealed' ? await this.#openGateway(connection) : undefined
    const held: MountSource[] = []
    try {
      const folder = holdWorkspace(workspace)
      held.push(folder)
      const pinned = engine.name === 'docker' ? pinGit(folder) : []
      held.push(...pinned)
      this.#egress = gateway && (await this.#openEgress(gateway))
      const agent = await engine.start({
        name: `codexbox-${run.id}`,
        agentFile: provider.containerProvider,
        workspace: folder,
        pinned,
        socketFolder: gateway?.socketFolder,
        ...(gateway ? { reached: gateway.reached } : {}),
        network: config.network,
        user: workspace.user,
      })
      this.#gitConfig = await this.#identity
      if (agent.relayed?.isUnexpected) {
        const message = `The container reaches this process by a relay: ${agent.relayed.because}.`
        run.emit({ type: 'notice', message })
      }
      if (agent.sharedWith?.length) {
        run.emit({ type: 'notice', message: sharingNotice(agent.sharedWith, agent.unpinned ?? []) })
      }
      void agent.exited.then(() => this.#onAgentExit())
      return new AgentSession(agent, gateway, connection)
    } catch (error) {
      await gateway?.close()
      throw error
    } finally {
      releaseSources(held)
    }
  }

  /** Between two runs an idle agent exits, and its background commands end with it. */
  #onAgentExit(): void {
    if (!this.#current && !this.#closing) void this.#parts.watch.containerGone()
  }

  #openGateway(connection: ModelConnection): Promise<Gateway> {
    const { config, limits, log } = this.#parts
    this.#requestLog ??= openRequestLog(config.dataDir)
    return openGateway(connection, {
      runPolicy: { conversationId: log.id, model: this.#settings.model, form: this.#settings.form },
      budget: budgetOf(limits),
      requestLog: this.#requestLog,
      debug: this.#debug,
    })
  }

  async #openEgress({ socketFolder }: Gateway): Promise<EgressProxy | undefined> {
    const { config, log, openEgressProxy } = this.#parts
    if (typeof config.network === 'string') return undefined
    return openEgressProxy({
      socketFolder,
      allow: config.network.allow,
      conversation: log.id,
      append: (line) => this.#requestLog?.append(line),
      tell: (message) => this.#current?.emit({ type: 'notice', message }),
    })
  }

  #request(
    run: Run,
    input: RunInput,
    secrets: Secrets,
    { agent: { view }, gateway }: AgentSession,
    connection: ModelConnection,
  ): RunRequest {
    const { config, limits, log, outputSchema, isGitOutside = false } = this.#parts
    const settings = this.#settings
    const { items, countedTokens, repairs } = historyOf(log.lines, connection.owner)
    for (const message of [...log.repairs.splice(0), ...repairs])
      run.emit({ type: 'repair', message })
    return {
      version: PROTOCOL_VERSION,
      runId: run.id,
      conversationId: log.id,
      ...input,
      history: items,
      ...(countedTokens ? { historyTokens: countedTokens } : {}),
      secrets,
      endpoint: {
        url: gateway ? GATEWAY_URL : connection.responsesUrl.href,
        ...(gateway && view.socketPath ? { socketPath: view.socketPath } : {}),
        headers: connection.headers,
      },
      model: settings.model,
      form: settings.form,
      instructions: instructions({
        workspace: view.workspace,
        network: config.network,
        isGitOutside,
      }),
      reasoning: settings.reasoning,
      ...(settings.verbosity ? { verbosity: settings.verbosity } : {}),
      ...(outputSchema ? { outputSchema: outputSchema.json } : {}),
      confirmsCalls: true,
      workspace: view.workspace,
      ...(this.#egress && view.socketPath
        ? { egressSocketPath: join(dirname(view.socketPath), this.#egress.socketName) }
        : {}),
      ...(view.toolEnvironment ? { toolEnvironment: view.toolEnvironment } : {}),
      ...(this.#gitConfig ? { gitConfig: this.#gitConfig } : {}),
      // No other conversation uses the container.
      ...(view.worker ? { worker: { ...view.worker, isExclusive: true } } : {}),
      limits,
    }
  }

  /** An answer that violates the output schema is a failure. */
  #checked(end: Finished, run: Run): Finished {
    const { outputSchema } = this.#parts
    const wrong = end.status === 'done' ? outputSchema?.wrong(run.text) : undefined
    if (!wrong) return end
    const message = `The answer does not follow the schema: ${wrong}.`
    return { ...end, status: 'failed', error: { code: 'output-invalid', message } }
  }

  #logRun(run: Run, connection: ModelConnection): void {
    const { log, provider, workspace } = this.#parts
    const before = lastWorkspace(log.lines)
    if (before !== undefined && before !== workspace.path) {
      const message = `The session ${log.name} last worked in ${before}; it goes on in ${workspace.path}, which the model is told.`
      run.emit({ type: 'notice', message })
    }
    log.append({
      type: 'run',
      runId: run.id,
      at: new Date().toISOString(),
      provider: provider.name,
      model: this.#settings.model,
      owner: connection.owner,
      workspace: workspace.path,
    })
  }

  async #stopAgent(how: 'leave' | 'at-once'): Promise<void> {
    const live = this.#live
    this.#live = undefined
    const egress = this.#egress
    this.#egress = undefined
    await live?.stop(how)
    await egress?.close()
  }
}

/** The session line for an event, if it has one. */
function sessionLineOf(event: EventBody) {
  switch (event.type) {
    case 'item':
      return { type: 'item', item: event.item } as const
    case 'compacted':
      return { type: 'compacted', items: event.items } as const
    case 'usage': {
      const { inputTokens, outputTokens } = event.usage
      return { type: 'counted', tokens: inputTokens + outputTokens } as const
    }
    case 'repair':
      return event.drops && ({ type: `${event.drops}-dropped` } as const)
    default:
      return undefined
  }
}

/** In direct mode the container itself calls the service, so it must be able to reach it. */
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
