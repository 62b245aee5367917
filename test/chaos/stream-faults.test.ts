import { afterAll, beforeAll, expect, test } from 'vitest'
import { isFull } from '../full-size.ts'
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
import { pick, randomFrom, seed } from './seeded.ts'

const AGENTS: Way = { makeAsker: agentAsker, lanes: 24 }
/** In sealed mode, so what goes wrong does so between the gateway and the service. */
const HOSTS: Way = { makeAsker: hostAsker, lanes: 8 }

const SIZE = isFull
  ? { stride: 1, brokenOff: 480, sampled: 1000, corrupt: 5000, hosts: 1000 }
  : { stride: 48, brokenOff: 24, sampled: 24, corrupt: 72, hosts: 24 }
const TIMEOUT_MS = 1_800_000

let bench: FaultBench

beforeAll(async () => {
  bench = await openFaultBench(AGENTS)
})
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

type FaultAt = (at: number, random: () => number) => Fault

const late: FaultAt = (at, random) => ({ kind: 'delay', at, ms: pick(random, 2 * SILENCE_MS) })
const slow: FaultAt = (at) => ({ kind: 'trickle', at })
const twice: FaultAt = (at) => ({ kind: 'duplicate', at })
const wrong: FaultAt = (at, random) => ({ kind: 'corrupt', at, bit: pick(random, 8) })

test.each([
  ['late', late],
  ['slow', slow],
  ['there twice', twice],
])(
  'whatever part of an answer is %s, the run ends as without it, and each tool has run once',
  async (what, fault) => {
    const played = await bench.play(sampled(randomFrom(seed), SIZE.sampled, fault), AGENTS)

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
    const played = await bench.play(sampled(randomFrom(seed), SIZE.corrupt, wrong), AGENTS)

    for (const one of played) expectCompleted(one)
    expect(bench.refusals).toEqual([])
    report('wrong', played)
  },
  TIMEOUT_MS,
)

// The two that wait most do so at the same time.
test.concurrent(
  'when every answer breaks off, the run ends with a typed error, and is completed when it goes on',
  async () => {
    const random = randomFrom(seed)
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

test.concurrent(
  'whatever goes wrong behind the gateway, the run ends, and is completed in a new host',
  async () => {
    const cut: FaultAt = (at) => ({ kind: 'cut', at })
    const reset: FaultAt = (at) => ({ kind: 'reset', at })
    const random = randomFrom(seed)
    const count = Math.ceil(SIZE.hosts / 6)
    const passing = [cut, reset, late, slow, twice].flatMap((fault) =>
      sampled(random, count, fault),
    )
    const others = [
      ...sampled(random, count, wrong),
      // Breaks off before the first item is there.
      ...Array.from(
        { length: HOSTS.lanes / 4 },
        (): Case => ({ fault: { kind: 'cut', at: 200 }, answer: 'each' }),
      ),
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

/** The same for the same random numbers. */
function sampled(random: () => number, count: number, faultAt: FaultAt): Case[] {
  return Array.from({ length: count }, () => {
    const answer = pick(random, bench.lengths.length)
    return { answer, fault: faultAt(pick(random, bench.lengths[answer] ?? 0), random) }
  })
}
