import { chmodSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { expect } from 'vitest'
import { readConfig } from '../../host/config.ts'
import { openConversation } from '../../host/open-conversation.ts'
import type { SessionLine } from '../../host/runs/session-log.ts'
import type { Item } from '../../shared/items.ts'
import { type HostProcess, startHost } from '../engine/host-process.ts'
import {
  commandIn,
  commandOf,
  LAST_WORDS,
  type Plan,
  type PlannedModel,
  promptFor,
  stepScript,
} from './planned-model.ts'
import { pick, randomFrom } from './seeded.ts'

/** Five turns, three tools side by side in each. */
export const HEAVY_PLAN: Plan = ['1', '2', '3', '4', '5'].map((turn) => [
  `${turn}a`,
  `${turn}b`,
  `${turn}c`,
])

const STEPS = HEAVY_PLAN.flat()
const SESSION = 'killed'
const KEY = 'sk-canary-5d20b1'

/** What the model is told of a call that may or may not have been carried out. */
const UNCERTAIN = /not known/

export interface Kills {
  model: PlannedModel
  /** Holds the folders of all of them. */
  root: string
  engine: 'process' | 'docker'
  /**
   * Finds what is to be killed as the run begins. What it returns kills it, and says false when it was
   * not there any more.
   */
  aim(host: HostProcess, runId: string): () => boolean | Promise<boolean>
}

export interface KillOutcome {
  /** Whether there was something to be killed at that moment. */
  hit: boolean
  /** How the run that was hit ended; absent when its host could not say. */
  status: string | undefined
  /** Lines that are there twice, each of them with a word about it in the history. */
  twice: number
  /** Calls of which the history says that it is not known whether they were carried out. */
  uncertain: number
}

/** How many events a run has that nobody disturbs; a kill is at one of them. */
export async function countEvents(kills: Omit<Kills, 'aim'>): Promise<number> {
  const { host } = begin(kills, 'undisturbed')
  let count = 0
  for await (const event of host.events) {
    count++
    if (event.type === 'finished') expect(event).toMatchObject({ status: 'done' })
  }
  expect(await host.ended()).toBe(0)
  return count
}

/**
 * A run that is hit at a random point, and what comes after it in a new host: the session goes on and
 * the work is completed. Nothing that was logged is lost, no tool has run without a logged call, and
 * none has run twice without the history saying that this may be.
 */
export async function killOnce(kills: Kills, events: number, seed: number): Promise<KillOutcome> {
  const random = randomFrom(seed)
  const moment = { event: 1 + pick(random, events), ms: random() * 20 }
  const task = `kill-${seed}`
  const { host, folder, workspace, dataDir, settings } = begin(kills, task)
  const session = () => readSessionLines(join(dataDir, 'sessions', `${SESSION}.jsonl`))

  let count = 0
  let hit = false
  let status: string | undefined
  let kill: ReturnType<Kills['aim']> | undefined
  for await (const event of host.events) {
    if (event.type === 'finished') status = event.status
    kill ??= kills.aim(host, event.runId)
    if (++count !== moment.event) continue
    await pause(moment.ms)
    hit = await kill()
  }
  await host.ended()

  // In this order: a tool may still be at work, but its call is logged before it begins.
  const left = linesOf(workspace)
  const before = itemsOf(session())
  expectCallsFor(left, before, task)

  // The host may have been killed between the last line of its log and the event.
  if (session().findLast((line) => line.type === 'finished')?.status !== 'done') {
    const conversation = await openConversation({
      workspace,
      session: SESSION,
      settings: readConfig(settings, folder),
    })
    const run = before.length > 0 ? conversation.resume() : conversation.run(promptFor(task))
    const result = await run.result
    await conversation.close()
    expect(result).toMatchObject({ status: 'done', text: LAST_WORDS })
  }

  const sent = kills.model.lastInput(task)
  for (const item of before.filter(isOutput)) expect(sent).toContainEqual(item)
  const after = itemsOf(session())
  const lines = linesOf(workspace)
  expectCallsFor(lines, after, task)
  let twice = 0
  for (const step of STEPS) {
    const times = timesOf(lines, task, step)
    expect(times, step).toBeGreaterThanOrEqual(1)
    // All but one were runs of which the model was told that they may have been.
    expect(times - 1, step).toBeLessThanOrEqual(uncertainCalls(sent, commandOf(task, step)))
    if (times > 1) twice++
  }
  expect(kills.model.refusals).toEqual([])
  return { hit, status, twice, uncertain: uncertainCalls(sent) }
}

function begin({ model, root, engine }: Omit<Kills, 'aim'>, task: string) {
  const folder = mkdtempSync(join(root, 'k-'))
  const workspace = join(folder, 'work')
  const dataDir = join(folder, 'data')
  mkdirSync(workspace)
  // In a container the tools are the owner of the workspace, with nothing of root's rights.
  chmodSync(folder, 0o755)
  const idle = 'sleep 0.0$((RANDOM % 3))'
  writeFileSync(join(workspace, 'step'), stepScript(idle, idle), { mode: 0o755 })
  const { AGENT_IMAGE } = process.env
  const settings = {
    ...(AGENT_IMAGE ? { AGENT_IMAGE } : {}),
    AGENT_ENGINE: engine,
    AGENT_PROVIDER: 'openai',
    OPENAI_API_KEY: KEY,
    OPENAI_BASE_URL: new URL('.', model.url).href,
    CODEX_DATA_DIR: dataDir,
  }
  // What a killed host leaves in the folder for what is temporary goes with ours.
  const env = { ...settings, TMPDIR: folder }
  const host = startHost({ prompt: promptFor(task), workspace, session: SESSION }, { env })
  return { host, folder, workspace, dataDir, settings }
}

/** The whole lines; the last one may be torn. */
function readSessionLines(file: string): SessionLine[] {
  return textOf(file)
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line))
}

const itemsOf = (lines: readonly SessionLine[]) =>
  lines.flatMap((line) => (line.type === 'item' ? [line.item] : []))

const isOutput = ({ type }: Item) => type === 'function_call_output'
const isCall = ({ type }: Item) => type === 'function_call'

const linesOf = (workspace: string) => textOf(join(workspace, 'lines')).split('\n').slice(0, -1)
const timesOf = (lines: readonly string[], task: string, step: string) =>
  lines.filter((line) => line === `${task}:${step}`).length

function callsOf(items: readonly Item[], command?: string): Item[] {
  return items.filter(
    (item) =>
      isCall(item) && (command === undefined || commandIn(String(item.arguments)) === command),
  )
}

/** No tool has run more often than the log has calls of it. */
function expectCallsFor(lines: readonly string[], items: readonly Item[], task: string): void {
  for (const step of STEPS) {
    const calls = callsOf(items, commandOf(task, step)).length
    expect(timesOf(lines, task, step), step).toBeLessThanOrEqual(calls)
  }
}

/** Calls of which the history says that they may or may not have been carried out. */
function uncertainCalls(items: readonly Item[], command?: string): number {
  const ids = new Set(callsOf(items, command).map(({ call_id: id }) => id))
  return items.filter(
    (item) => isOutput(item) && ids.has(item.call_id) && UNCERTAIN.test(String(item.output)),
  ).length
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    // It was killed before there was one.
    return ''
  }
}
