import { expect } from 'vitest'
import type { Item } from '../../shared/items.ts'
import type { FinishedEvent, RunRequest } from '../../shared/protocol.ts'
import type { AgentProcess } from '../fakes/agent-process.ts'
import type { Exchange } from '../fakes/model-server.ts'
import type { aRunRequest } from '../fakes/run-request.ts'
import type { ConformanceTable } from './conformance-table.ts'
import { type Facts, factsOf, recordedOutline, theirFacts } from './facts.ts'
import { outline } from './outline.ts'
import {
  addedItems,
  type Cleanup,
  conversationItems,
  eventsOf,
  furtherPrompt,
  type Played,
  type RecordedExchange,
  type Recording,
  recording,
  start,
} from './replay.ts'

export interface Replayed extends Played {
  recorded: Recording
}

export interface ReplayOptions {
  given?: Parameters<typeof aRunRequest>[0]
  /** Answers to what ours asks and the official client did not. */
  beyond?: readonly Exchange[]
  /** Why ours differs, by what does. */
  why?: Facts
  note?: string
  /** Facts of theirs and of ours that come before the usual ones. */
  first?: readonly [theirs: Facts, ours: Facts]
}

/**
 * Plays a recording to our agent, holds what it did against what the official client did, and enters
 * both into `table`. Where the user says more than one thing, each is a run of the same process.
 */
export async function heldAgainst(
  t: Cleanup,
  table: ConformanceTable,
  name: string,
  { given = {}, beyond = [], why = {}, note, first = [{}, {}] }: ReplayOptions = {},
): Promise<Replayed> {
  const recorded = recording(name)
  const [prompt = 'Say hello.', ...more] = recorded.prompts ?? []
  const limits = { runMs: PATIENCE_MS, ...given.limits }
  const script = [...recorded.exchanges, ...beyond]
  const scene = await start(t, script, { prompt, ...given, limits })
  let finished = await endOf(scene.agent, 'run-1')
  for (const [index, next] of more.entries()) {
    const runId = `run-${index + 2}`
    scene.agent.send(furtherPrompt(runId, next))
    finished = await endOf(scene.agent, runId)
  }

  const played = { ...scene, finished, recorded }
  expect(scene.server.unscripted).toBe(0)
  if (!why['sent back']) {
    recorded.exchanges.forEach((exchange, index) => {
      if (!scene.server.requests[index]) return
      expect(sentBack(played, index).map(outline), `request ${index + 1}`).toEqual(
        recordedOutline(exchange),
      )
    })
  }
  table.add({
    name,
    about: recorded.about,
    theirs: { ...first[0], ...theirFacts(recorded) },
    ours: { ...first[1], ...ourFacts(played) },
    why,
    note: [finished.error && `error \`${finished.error.code}\``, note].filter(Boolean).join('; '),
  })
  return played
}

/** Some recordings hold waits of ten seconds, or thousands of bytes that come one at a time. */
export const PATIENCE_MS = 60_000

async function endOf(agent: AgentProcess, runId: string): Promise<FinishedEvent> {
  for await (const event of agent.events) {
    if (event.type === 'finished' && event.runId === runId) return event
  }
  throw new Error(`The agent ended without an end of ${runId}: ${agent.stderr}`)
}

/** A run request with what the official client was told to ask for. */
export function requestLike({ sent }: Recording): Parameters<typeof aRunRequest>[0] {
  const { model, reasoning, text } = (sent?.body ?? {}) as {
    model?: string
    reasoning?: RunRequest['reasoning']
    text?: { verbosity?: string; format?: { schema: Record<string, unknown> } }
  }
  const { effort, summary } = reasoning ?? {}
  return {
    ...(model ? { model } : {}),
    form: { lite: sent?.body.tools === undefined },
    reasoning: { ...(effort ? { effort } : {}), ...(summary ? { summary } : {}) },
    ...(text?.verbosity ? { verbosity: text.verbosity } : {}),
    ...(text?.format ? { outputSchema: text.format.schema } : {}),
  }
}

function ourFacts(played: Replayed): Facts {
  const { server, finished } = played
  const { length } = server.requests
  const back = length > 1 ? sentBack(played, length - 1) : []
  return factsOf(length, finished.status, waitsOf(played), back)
}

function sentBack({ recorded, server }: Replayed, index: number): Item[] {
  const isWhole = recorded.exchanges.some(({ conversation }) => conversation)
  if (!isWhole) return addedItems(server, index)
  return index === 0 ? [] : conversationItems(server, index)
}

/** The delays of our retries, by their rule. The figures themselves differ from run to run. */
function waitsOf({ agent, recorded }: Replayed): string | undefined {
  const delays = eventsOf(agent, 'retry').map(({ delayMs }) => delayMs)
  if (delays.length === 0) return undefined
  if (delays.every((delayMs, index) => delayMs === askedMs(recorded.exchanges[index]))) {
    return 'as asked'
  }
  const isGrowing = delays.every(
    (delayMs, index) => Math.abs(delayMs / (200 * 2 ** index) - 1) < 0.11,
  )
  return isGrowing ? 'growing' : 'otherwise'
}

function askedMs(exchange: RecordedExchange | undefined): number | undefined {
  const after = exchange?.headers?.['retry-after']
  if (after) return Number(after) * 1000
  const hint = /try again in ([\d.]+)s/.exec(JSON.stringify(exchange?.events ?? []))
  return hint ? Number(hint[1]) * 1000 : undefined
}
