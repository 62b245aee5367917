import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { agentAsker, hostAsker, SILENCE_MS } from './asker.ts'
import type { Fault } from './chaos-proxy.ts'
import {
  type Case,
  expectAsWithoutFault,
  expectCompleted,
  type FaultBench,
  openFaultBench,
  report,
  type Way,
} from './fault-cases.ts'
import { isFull, pick, randomFrom, seed } from './seeded.ts'

const AGENTS: Way = { makeAsker: agentAsker, lanes: 24 }
/** In sealed mode, so what goes wrong does so between the gateway and the service. */
const HOSTS: Way = { makeAsker: hostAsker, lanes: 8 }

const SIZE = isFull
  ? { stride: 1, brokenOff: 480, sampled: 1000, corrupt: 5000, hosts: 1000 }
  : { stride: 24, brokenOff: 24, sampled: 48, corrupt: 144, hosts: 48 }
const TIMEOUT_MS = 1_800_000

let bench: FaultBench
let random: () => number

beforeAll(async () => {
  bench = await openFaultBench(AGENTS)
})
// The same in each test, whichever are chosen.
beforeEach(() => {
  random = randomFrom(seed)
})
afterEach(() => bench.stop())
afterAll(() => bench.close())

test.each<[string, 'cut' | 'reset' | 'end']>([
  ['cut', 'cut'],
  ['reset', 'reset'],
  ['ended as if it were whole', 'end'],
])(
  `wherever an answer is %s (each ${SIZE.stride}. byte), the run ends as without it, and each tool has run once`,
  async (what, kind) => {
    const everywhere = bench.lengths.flatMap((length, answer) =>
      // Also behind the last byte: an answer that is whole may be followed by a broken connection.
      Array.from({ length: length + 1 }, (_, at): Case => ({ fault: { kind, at }, answer })),
    )
    const start = seed % SIZE.stride

    const played = await bench.play(
      everywhere.filter((_, index) => index % SIZE.stride === start),
      AGENTS,
    )

    for (const one of played) expectAsWithoutFault(one)
    expect(bench.refusals).toEqual([])
    report(`${what}, of ${bench.lengths.join(' + ')} bytes`, played)
  },
  TIMEOUT_MS,
)

test(
  'when every answer breaks off, the run ends with a typed error, and is completed when it goes on',
  async () => {
    const longest = Math.max(...bench.lengths)
    const cases = Array.from({ length: SIZE.brokenOff }, (_, index): Case => {
      const kind = index % 2 === 0 ? 'cut' : 'reset'
      return { fault: { kind, at: pick(random, longest) }, answer: 'each' }
    })

    const played = await bench.play(cases, AGENTS)

    for (const one of played) expectCompleted(one)
    expect(played.some(({ first }) => first.error?.code === 'stream-cut')).toBe(true)
    expect(bench.refusals).toEqual([])
    report('each answer cut or reset', played)
  },
  TIMEOUT_MS,
)

const late = (at: number): Fault => ({ kind: 'delay', at, ms: pick(random, 2 * SILENCE_MS) })
const slow = (at: number): Fault => ({ kind: 'trickle', at })
const twice = (at: number): Fault => ({ kind: 'duplicate', at })
const wrong = (at: number): Fault => ({ kind: 'corrupt', at, bit: pick(random, 8) })

test.each([
  ['late', late],
  ['slow', slow],
  ['there twice', twice],
])(
  'whatever part of an answer is %s, the run ends as without it, and each tool has run once',
  async (what, fault) => {
    const played = await bench.play(sampled(SIZE.sampled, fault), AGENTS)

    for (const one of played) expectAsWithoutFault(one)
    expect(bench.refusals).toEqual([])
    report(what, played)
  },
  TIMEOUT_MS,
)

/**
 * A wrong bit may be part of what is said, so `done` may come too early or with other words. What may
 * not be: a tool that runs twice, an error without a type, no end, or a history that is refused.
 */
test(
  'whatever bit of an answer is wrong, the run ends, and is completed when it goes on',
  async () => {
    const played = await bench.play(sampled(SIZE.corrupt, wrong), AGENTS)

    for (const one of played) expectCompleted(one)
    expect(bench.refusals).toEqual([])
    report('wrong', played)
  },
  TIMEOUT_MS,
)

test(
  'whatever goes wrong behind the gateway, the run ends, and is completed in a new host',
  async () => {
    const cut = (at: number): Fault => ({ kind: 'cut', at })
    const reset = (at: number): Fault => ({ kind: 'reset', at })
    const count = Math.ceil(SIZE.hosts / 6)
    const passing = [cut, reset, late, slow, twice].flatMap((fault) => sampled(count, fault))
    const others = [
      ...sampled(count, wrong),
      // Breaks off before the first item is there.
      ...Array.from({ length: HOSTS.lanes }, (): Case => ({ fault: cut(200), answer: 'each' })),
    ]

    const played = await bench.play([...others, ...passing], HOSTS)

    for (const one of played) {
      const isPassing = one.fault.kind !== 'corrupt' && one.answer !== 'each'
      if (isPassing) expectAsWithoutFault(one)
      else expectCompleted(one)
    }
    expect(bench.refusals).toEqual([])
    report('through hosts', played)
  },
  TIMEOUT_MS,
)

function sampled(count: number, faultAt: (at: number) => Fault): Case[] {
  return Array.from({ length: count }, () => {
    const answer = pick(random, bench.lengths.length)
    return { answer, fault: faultAt(pick(random, bench.lengths[answer] ?? 0)) }
  })
}
