import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { readConfig } from '../../host/config.ts'
import { openConversation } from '../../host/open-conversation.ts'
import type { Conversation } from '../../host/runs/conversation.ts'
import { assistantText } from '../../shared/assistant-text.ts'
import type { RunFailure, RunStatus } from '../../shared/protocol.ts'
import { type AgentProcess, startAgent } from '../fakes/agent-process.ts'
import { aRunRequest } from '../fakes/run-request.ts'

/** How a run ended. */
export interface Answer {
  status: RunStatus
  error?: RunFailure | undefined
  /** The model's last words. */
  text: string
}

/** Somebody with a conversation whose tools work in `workspace`. */
export interface Asker {
  readonly workspace: string
  /** A run; without a prompt it goes on where the conversation ends. */
  ask(prompt?: string): Promise<Answer>
  stop(): Promise<void>
}

const LIMITS = { maxTurns: 20, runMs: 60_000, idleMs: 1_800_000, toolMs: 10_000 }
/** Longer than this without an event counts as a cut. */
export const SILENCE_MS = 1500
const SILENCE = { firstEventMs: SILENCE_MS, streamIdleMs: SILENCE_MS }

/** Asks an agent that talks to `url` itself. */
export function agentAsker(folder: string, url: string): Asker {
  const workspace = workspaceIn(folder)
  let agent: AgentProcess | undefined
  let runs = 0
  return {
    workspace,
    async ask(prompt) {
      const runId = `run-${++runs}`
      const said = prompt === undefined ? {} : { prompt }
      const limits = { ...LIMITS, ...SILENCE }
      const request = aRunRequest({ runId, workspace, endpoint: { url }, limits })
      const { prompt: _, secrets, ...rest } = request
      if (agent) agent.send({ type: 'prompt', runId, secrets, ...said })
      else agent = startAgent({ ...rest, secrets, ...said })
      const { status, error } = await agent.finished()
      const texts = agent.seen.flatMap((event) =>
        event.type === 'item' ? (assistantText(event.item) ?? []) : [],
      )
      return { status, error, text: texts.at(-1) ?? '' }
    },
    stop: async () => agent?.stop(),
  }
}

/**
 * Asks through the whole of a host: its gateway alone talks to `url`, the agent is a plain process.
 * What goes on does so in a new host that opens the session again.
 */
export function hostAsker(folder: string, url: string): Asker {
  const workspace = workspaceIn(folder)
  const settings = readConfig(
    {
      AGENT_ENGINE: 'process',
      AGENT_PROVIDER: 'openai',
      OPENAI_API_KEY: 'sk-canary-8a01cc',
      OPENAI_BASE_URL: new URL('.', url).href,
      CODEX_DATA_DIR: join(folder, 'data'),
    },
    folder,
  )
  const open = () =>
    openConversation({
      workspace,
      session: 'chaos',
      settings,
      limits: { ...LIMITS, ...SILENCE, toolOutputBytes: 20_000 },
    })
  let conversation: Conversation | undefined
  return {
    workspace,
    async ask(prompt) {
      if (prompt === undefined) await conversation?.close()
      if (!conversation || prompt === undefined) conversation = await open()
      const run = prompt === undefined ? conversation.resume() : conversation.run(prompt)
      const { status, error, text } = await run.result
      return { status, error, text }
    },
    stop: async () => void (await conversation?.close()),
  }
}

function workspaceIn(folder: string): string {
  const workspace = join(folder, 'work')
  mkdirSync(workspace, { recursive: true })
  return workspace
}
