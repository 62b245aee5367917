import { mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'vitest'
import { messageOf } from '../../shared/errors.ts'
import type { Answer, Asker } from './asker.ts'
import { type ChaosProxy, type Fault, startChaosProxy } from './chaos-proxy.ts'
import {
  LAST_WORDS,
  type Plan,
  type PlannedModel,
  promptFor,
  startPlannedModel,
  stepScript,
} from './planned-model.ts'
import { seed } from './seeded.ts'

/** Three turns: a tool, two side by side, and the last words. */
const PLAN: Plan = [['1a'], ['2a', '2b']]
const STEPS = PLAN.flat()
const ANSWERS = PLAN.length + 1

/** A conversation that goes wrong. */
export interface Case {
  fault: Fault
  /** Which answer it goes wrong with, from 0; or with each, until the run has ended. */
  answer: number | 'each'
}

/** What came of a case. */
export interface Played extends Case {
  first: Answer
  /** The same, unless it had to go on. */
  last: Answer
  resumes: number
  /** How often each step was done. */
  times: number[]
}

/** How cases are played: through agents or through hosts. */
export interface Way {
  makeAsker: (folder: string, url: string) => Asker
  /** Side by side. Most of a case is waiting: for the retry, or for what does not come. */
  lanes: number
}

/** A history grows with each case, so a conversation gets no more than that. */
const CASES_A_CONVERSATION = 30

export interface FaultBench {
  /** The bytes of each answer, on the wire. */
  readonly lengths: readonly number[]
  /** Why the model refused requests. */
  readonly refusals: readonly string[]
  /** Plays all of them, many at once. */
  play(cases: readonly Case[], way: Way): Promise<Played[]>
  close(): Promise<void>
}

export async function openFaultBench(way: Way): Promise<FaultBench> {
  const root = realpathSync(mkdtempSync(join(tmpdir(), 'codexbox-chaos-')))
  const model: PlannedModel = await startPlannedModel(PLAN)
  const waiting = new Map<string, Case & { asked: number }>()
  /** At work. */
  const askers = new Set<Asker>()
  /** Can take some more cases: a new one costs as much as ten of them. */
  const idle = new Map<Way['makeAsker'], { asker: Asker; cases: number }[]>()
  const lengths: number[] = []
  let tasks = 0

  const proxy: ChaosProxy = await startChaosProxy(model.url, (body, length) => {
    if (lengths.length < ANSWERS) lengths.push(length)
    const current = waiting.get([...body.matchAll(/Task (\w+)\./g)].at(-1)?.[1] ?? '')
    if (!current) return undefined
    const { fault, answer } = current
    return answer === 'each' || answer === current.asked++ ? fault : undefined
  })

  async function playOne(one: Case, asker: Asker): Promise<Played> {
    // As long as any other, so that a byte is the same one in all of them.
    const task = `case${String(++tasks).padStart(6, '0')}`
    const isDone = ({ status }: Answer) =>
      status === 'done' && timesOf(task, asker).every((times) => times > 0)
    waiting.set(task, { ...one, asked: 0 })
    const first = await asker.ask(promptFor(task))
    waiting.delete(task)
    let last = first
    let resumes = 0
    while (resumes < 3 && !isDone(last)) {
      resumes++
      last = await asker.ask()
    }
    return { ...one, first, last, resumes, times: timesOf(task, asker) }
  }

  function begin(makeAsker: Way['makeAsker']): Asker {
    const asker = makeAsker(mkdtempSync(join(root, 'l-')), proxy.url)
    writeFileSync(join(asker.workspace, 'step'), stepScript(), { mode: 0o755 })
    return asker
  }

  async function play(cases: readonly Case[], { makeAsker, lanes }: Way): Promise<Played[]> {
    const left = [...cases]
    const played: Played[] = []
    const broken: string[] = []
    const lane = async () => {
      while (left.length > 0) {
        const used = idle.get(makeAsker)?.pop() ?? { asker: begin(makeAsker), cases: 0 }
        const { asker } = used
        askers.add(asker)
        let isSound = true
        while (isSound && left.length > 0 && used.cases++ < CASES_A_CONVERSATION) {
          const one = left.shift() as Case
          try {
            const result = await playOne(one, asker)
            played.push(result)
            // What is wrong with this conversation is not to spoil those after it.
            isSound = result.last.status === 'done'
          } catch (error) {
            broken.push(`CHAOS_SEED=${seed} ${JSON.stringify(one)}: ${messageOf(error)}`)
            isSound = false
          }
        }
        if (isSound && used.cases < CASES_A_CONVERSATION) idle.get(makeAsker)?.push(used)
        else await asker.stop()
        askers.delete(asker)
      }
    }
    if (!idle.has(makeAsker)) idle.set(makeAsker, [])
    await Promise.all(Array.from({ length: lanes }, lane))
    expect(broken).toEqual([])
    return played
  }

  await play([{ fault: { kind: 'cut', at: 0 }, answer: ANSWERS }], { ...way, lanes: 1 })
  return {
    lengths,
    refusals: model.refusals,
    play,
    async close() {
      const unused = [...idle.values()].flat().map(({ asker }) => asker)
      // Of a test that failed, some are still at work.
      await Promise.all([...askers, ...unused].map((asker) => asker.stop()))
      await proxy.close()
      await model.close()
      rmSync(root, { recursive: true, force: true })
    },
  }
}

function timesOf(task: string, { workspace }: Asker): number[] {
  let text = ''
  try {
    text = readFileSync(join(workspace, 'lines'), 'utf8')
  } catch {
    // None has been done yet.
  }
  const lines = text.split('\n')
  return STEPS.map((step) => lines.filter((line) => line === `${task}:${step}`).length)
}

/** What may be said of a broken answer; anything else is a bug of ours. */
const TYPED = [
  'model-unreachable',
  'model-refused',
  'model-unknown',
  'model-failed',
  'stream-cut',
  'rate-limited',
  'usage-limit',
  'plan-without-codex',
  'context-full',
]

/** It ended by itself, was then completed if it was not, and each step was done once. */
export function expectCompleted(one: Played): void {
  const { first, last, times } = one
  expect(['done', 'failed'], told(one)).toContain(first.status)
  if (first.error) expect(TYPED, told(one)).toContain(first.error.code)
  expect(last.status, told(one)).toBe('done')
  expect(times, told(one)).toEqual(STEPS.map(() => 1))
}

/** Nothing shows that something went wrong. */
export function expectAsWithoutFault(one: Played): void {
  const { first, resumes } = one
  expect({ ...first, resumes }, told(one)).toMatchObject({
    status: 'done',
    text: LAST_WORDS,
    resumes: 0,
  })
  expectCompleted(one)
}

const told = (one: Played) => `CHAOS_SEED=${seed} ${JSON.stringify(one)}`

export function report(what: string, played: readonly Played[]): void {
  const failed = played.filter(({ first }) => first.status === 'failed').length
  const resumed = played.filter(({ resumes }) => resumes > 0).length
  console.info(
    `${what}: ${played.length} runs, ${failed} typed errors, ${resumed} completed by going on`,
  )
}
