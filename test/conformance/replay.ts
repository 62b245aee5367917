import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'vitest'
import type { Item } from '../../shared/items.ts'
import type { FinishedEvent, RunEvent } from '../../shared/protocol.ts'
import { type AgentProcess, startAgent } from '../fakes/agent-process.ts'
import {
  type Exchange,
  type ModelServer,
  type ModelServerOptions,
  type StreamEvent,
  sse,
  startModelServer,
} from '../fakes/model-server.ts'
import { aRunRequest } from '../fakes/run-request.ts'
import type { Outline } from './outline.ts'

/**
 * The server's side of one recorded run of the official client, and what that client made of it.
 * Made from recordings of codex-cli 0.171.0 against a mock; the streams are the mock's, byte for byte.
 */
export interface Recording {
  name: string
  about: string
  /** How it ended for the official client. */
  outcome: 'done' | 'failed'
  /** How many requests the official client made. */
  requests: number
  /** How long it waited before each further request, if there was a failure to wait after. */
  waits?: 'as asked' | 'growing'
  /** What the user said in each run, where there are several. */
  prompts?: string[]
  /** The first request of the official client. */
  sent?: SentRequest
  /** What it had for a sign-in, and what it asked beside the model. */
  credentials?: RecordedCredentials
  exchanges: RecordedExchange[]
}

/** A request as it was recorded; `…` stands for what is different each time or says who asks. */
export interface SentRequest {
  /** In the order of the wire. */
  headers: Record<string, string>
  /** Without `input`, in the order of the wire. */
  body: Record<string, unknown>
  /** The items of `input`. */
  layout: Outline[]
}

export interface RecordedCredentials {
  /** How long the access token was still good. Default: for an hour. */
  leftMs?: number
  /** Whether the access token does not say itself when it ends. */
  opaque?: boolean
  lastRefreshDaysAgo?: number
  /** Another process renews while the first request is on its way. */
  renewedByAnother?: boolean
  signedOut?: boolean
  tokenRequests: number
  accountChecks: number
  /** Answers of the token endpoint that were no new tokens; after them there were. */
  tokenAnswers?: { status: number; json: unknown }[]
  /** The same for the question where the workspace's requests go. */
  accountAnswers?: { status: number; json: unknown }[]
}

export interface RecordedExchange extends Exchange {
  /** The events of the stream, before `eol` turns them into text. */
  events?: StreamEvent[]
  eol?: string
  /** So many equal exchanges in a row. */
  repeat?: number
  /** What the official client added to `input` since the first request, as `outline` gives it. */
  echoed?: Outline[]
  /** All of `input` but what it puts in front of every conversation. */
  conversation?: Outline[]
}

/** A scene that has been played: a conversation of the agent with the server, up to `finished`. */
export interface Played {
  finished: FinishedEvent
  agent: AgentProcess
  server: ModelServer
  workspace: string
}

/** What a test hands over so that its processes and folders go when it is over. */
export interface Cleanup {
  onTestFinished(cleanup: () => Promise<void>): void
}

export function recording(name: string): Recording {
  const file = join(import.meta.dirname, `../fixtures/recordings/${name}.json`)
  const { exchanges, ...rest } = JSON.parse(readFileSync(file, 'utf8')) as Recording
  return { ...rest, exchanges: exchanges.flatMap(playable) }
}

function playable(recorded: RecordedExchange): RecordedExchange[] {
  const { repeat = 1, ...exchange } = recorded
  if (exchange.events) {
    exchange.events = exchange.events.map(withOurTools)
    exchange.body = sse(exchange.events, exchange.eol)
  }
  return Array.from({ length: repeat }, () => exchange)
}

/**
 * The only change to the recorded streams: the shell tool of the official client becomes ours,
 * `exec_command {cmd}` to `bash {command}`.
 */
function withOurTools(event: StreamEvent): StreamEvent {
  const item = event.item as Item | undefined
  if (item?.name !== 'exec_command') return event
  const written = String(item.arguments)
  return { ...event, item: { ...item, name: 'bash', arguments: ourArguments(written) } }
}

function ourArguments(written: string): string {
  try {
    const { cmd, yield_time_ms } = JSON.parse(written) as { cmd: string; yield_time_ms?: number }
    return JSON.stringify({ command: cmd, yield_time_ms })
  } catch {
    return written.replace('"cmd"', '"command"')
  }
}

/** Starts the agent against a server that plays `script`; the caller waits for what it needs. */
export async function start(
  { onTestFinished }: Cleanup,
  script: readonly Exchange[],
  given: Parameters<typeof aRunRequest>[0] = {},
  options: ModelServerOptions = {},
): Promise<Omit<Played, 'finished'>> {
  const workspace = mkdtempSync(join(tmpdir(), 'codexbox-conformance-'))
  const server = await startModelServer(script, options)
  const endpoint = { ...server.endpoint, ...given.endpoint }
  const agent = startAgent(aRunRequest({ workspace, ...given, endpoint }))
  onTestFinished(async () => {
    await agent.stop()
    await server.close()
    rmSync(workspace, { recursive: true, force: true })
    // In every scene: secrets leave in request headers and nowhere else.
    expect(JSON.stringify(agent.seen) + agent.stderr).not.toMatch(/(first|second|third)-token/)
  })
  return { agent, server, workspace }
}

/** Plays `script` to the end of the first run. */
export async function play(
  cleanup: Cleanup,
  script: readonly Exchange[],
  given: Parameters<typeof aRunRequest>[0] = {},
  options: ModelServerOptions = {},
): Promise<Played> {
  const scene = await start(cleanup, script, given, options)
  return { ...scene, finished: await scene.agent.finished() }
}

/** The line that begins another run of the same conversation, with another token. */
export const furtherPrompt = (runId: string, prompt: string) =>
  ({
    type: 'prompt',
    runId,
    prompt,
    secrets: { CODEX_ACCESS_TOKEN: 'second-token', CODEX_ACCOUNT_ID: 'account-1' },
  }) as const

/** The items that were added to `input` between the first request and request number `index`. */
export function addedItems(server: ModelServer, index: number): Item[] {
  const first = server.requests[0]?.body.input.length ?? 0
  return server.requests[index]?.body.input.slice(first) ?? []
}

/** All items of request number `index` but those in front of every conversation. */
export function conversationItems(server: ModelServer, index: number): Item[] {
  const input = server.requests[index]?.body.input ?? []
  return input.filter(({ role }) => role !== 'developer')
}

/** The finished items of a recorded stream: what a client has to send back. */
export function doneItems(exchange: RecordedExchange | undefined): Item[] {
  const done = exchange?.events?.filter((event) => event.type === 'response.output_item.done') ?? []
  return done.map((event) => event.item as Item)
}

export function eventsOf<T extends RunEvent['type']>(agent: AgentProcess, type: T) {
  return agent.seen.filter((event): event is Extract<RunEvent, { type: T }> => event.type === type)
}

/** Everything shown to the user as it came. */
export const shownText = (agent: AgentProcess) =>
  eventsOf(agent, 'text.delta')
    .map((event) => event.text)
    .join('')

/** The outputs our tools gave, by call id, as request number `index` sent them. */
export function outputsSent(server: ModelServer, index: number): Record<string, string> {
  const outputs = addedItems(server, index).filter((item) => item.type.endsWith('_output'))
  return Object.fromEntries(outputs.map((item) => [item.call_id, item.output]))
}

/** What answers of the recordings say was used, so many of them. */
export const usageOf = (responses: number) => ({
  inputTokens: 100 * responses,
  cachedInputTokens: 60 * responses,
  outputTokens: 20 * responses,
  reasoningTokens: 5 * responses,
})

/** The delays of the official client: 200 ms, doubled each time, give or take a tenth. */
export function expectBackoff(delaysMs: readonly number[]): void {
  delaysMs.forEach((delayMs, index) => {
    const plain = 200 * 2 ** index
    expect(delayMs).toBeGreaterThanOrEqual(plain * 0.9)
    expect(delayMs).toBeLessThanOrEqual(plain * 1.1)
  })
}

/** The waits the server saw between requests are not shorter than those the agent announced. */
export function expectWaited({ agent, server }: Pick<Played, 'agent' | 'server'>): void {
  eventsOf(agent, 'retry').forEach((retry, index) => {
    const [before, after] = [server.requests[index], server.requests[index + 1]]
    const waited = (after?.at ?? 0) - (before?.at ?? 0)
    // Timers may fire a millisecond early.
    expect(waited).toBeGreaterThanOrEqual(retry.delayMs - 2)
  })
}
