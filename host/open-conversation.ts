import { CodexboxError } from '../shared/errors.ts'
import { RunLimits } from '../shared/protocol.ts'
import { chooseProvider } from './choose-provider.ts'
import { type Config, readConfig } from './config.ts'
import { neededCurrentFolder } from './current-folder.ts'
import { chooseEngine } from './engine/choose-engine.ts'
import { watchAutorun } from './outer/autorun/watch.ts'
import { openEgressProxy } from './outer/egress/open-egress-proxy.ts'
import { Conversation } from './runs/conversation.ts'
import { readOutputSchema } from './runs/output-schema.ts'
import { newSessionName, SessionLog } from './runs/session-log.ts'
import { gitOutsideNotice } from './workspace/git-outside.ts'
import { openWorkspace } from './workspace/open-workspace.ts'
import { ownCodeNotice } from './workspace/own-code.ts'

const SECOND = 1000
const MINUTE = 60 * SECOND

export const DEFAULT_LIMITS: RunLimits = {
  maxTurns: 200,
  runMs: 60 * MINUTE,
  idleMs: 15 * MINUTE,
  // The service sends its first event at once; after this long the agent leaves a silent queue.
  firstEventMs: 2 * MINUTE,
  streamIdleMs: 5 * MINUTE,
  // A longer command continues in the background.
  toolMs: 60 * MINUTE,
  toolOutputBytes: 40_000,
}

export interface ConversationOptions {
  /** The agent's working folder. Default: the current one. */
  workspace?: string
  /** The session to continue or to create. Default: a new one, named by the time. */
  session?: string
  /** Overrides settings of the environment and the `.env`. */
  settings?: Partial<Config>
  limits?: Partial<RunLimits>
  /** JSON Schema of an object, for the last message of each run. */
  outputSchema?: Record<string, unknown>
  /** Whether the service may search the web for the model. Default: no. */
  webSearch?: boolean
}

/**
 * Opens a conversation: checks the workspace, the sign-in and the engine, and opens the session.
 * The first run starts the container.
 * @throws CodexboxError `config-invalid` (also for a data folder that cannot be written), `wrong-use`,
 * `workspace-invalid`, `not-signed-in`, `engine-unavailable`, `image-missing`, `session-invalid`, `session-busy`
 */
export async function openConversation(options: ConversationOptions = {}): Promise<Conversation> {
  const outputSchema = options.outputSchema && readOutputSchema(options.outputSchema)
  const limits = checkLimits(options.limits)
  const config: Config = { ...readConfig(), ...options.settings }
  const workspace = openWorkspace(options.workspace ?? neededCurrentFolder(), config.dataDir)
  const { provider, notice } = chooseProvider(config)
  const choosing = chooseEngine(config, provider.name === 'demo')
  const watch = watchAutorun(workspace.path)
  const { engine, missing } = await choosing
  const gitOutside = engine.name === 'docker' ? gitOutsideNotice(workspace.path) : undefined
  const log = await SessionLog.open(config.dataDir, options.session ?? newSessionName())
  return new Conversation({
    config,
    workspace,
    watch,
    openEgressProxy,
    provider,
    engine,
    log,
    limits,
    outputSchema,
    webSearch: options.webSearch ?? false,
    isGitOutside: gitOutside !== undefined,
    notices: [
      config.notFollowed,
      notice,
      // Without a container an agent can change far more than this package's code.
      engine.name === 'docker' ? ownCodeNotice(workspace.path) : undefined,
      gitOutside,
      missing && `${missing.message} Until then the demo runs without a container.`,
      // The demo's commands are this package's own; a model's commands are untrusted.
      engine.name === 'process' && provider.name !== 'demo'
        ? 'There is no sandbox: what the model runs, runs as you.'
        : undefined,
      engine.name === 'docker' && config.credentials === 'direct'
        ? 'The real token is inside the container (AGENT_CREDENTIALS=direct).'
        : undefined,
    ].filter((text) => text !== undefined),
  })
}

function checkLimits(limits: Partial<RunLimits> = {}): RunLimits {
  const parsed = RunLimits.safeParse({ ...DEFAULT_LIMITS, ...limits })
  if (parsed.success) return parsed.data
  const { path, message } = parsed.error.issues[0] ?? { path: [], message: 'invalid' }
  throw new CodexboxError('wrong-use', `The limit ${path.join('.')} cannot be used: ${message}.`)
}
