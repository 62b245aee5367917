import { expect, test } from 'vitest'
import { limitNotices, mergeTold, type ToldWindow } from '../../host/models/limit-notices.ts'
import type { LimitWindow } from '../../shared/limits.ts'

const NOW = new Date(2026, 10, 21, 10, 0).getTime()
const HOUR = 60 * 60_000
const END = NOW + 2 * HOUR

/** What is told when answers say, one after the other, so much of the short window. */
function told(answers: readonly (number | Partial<LimitWindow>)[], now = NOW): string[] {
  let known: ToldWindow[] = []
  return answers.flatMap((answer) => {
    const about = typeof answer === 'number' ? { usedPercent: answer } : answer
    const primary = { usedPercent: 0, windowMinutes: 300, resetsAt: END, ...about }
    const due = limitNotices({ limits: [{ id: 'codex', primary }] }, known, now)
    known = due.told
    return due.messages
  })
}

test('at 80 % and at 95 % of a window the person is told once, with the reset', () => {
  expect(told([10, 79.9, 80, 81, 94.9, 95, 96, 100, 100])).toEqual([
    expect.stringMatching(
      /^80 % of the limit for 5 h is used; it begins anew at .*12:00.*, in 2 h\.$/,
    ),
    expect.stringMatching(
      /^95 % of the limit for 5 h is used; it begins anew at .*12:00.*, in 2 h\.$/,
    ),
  ])
})

test('a window that is nearly used up at first is told once', () => {
  expect(told([97, 99])).toEqual([expect.stringContaining('97 % of')])
})

test('a window that begins anew is told anew', () => {
  const next = { resetsAt: END + 5 * HOUR }

  expect(told([85, { usedPercent: 3, ...next }, { usedPercent: 85, ...next }])).toHaveLength(2)
  expect(told([96, { usedPercent: 81, ...next }])).toHaveLength(2)
})

test('an end that shifts a little is the end of the same window', () => {
  expect(told([85, { usedPercent: 86, resetsAt: END + 40_000 }])).toHaveLength(1)
})

test('of what two processes have told, the later window counts, and in it the higher mark', () => {
  const low = { key: 'codex primary', percent: 80, resetsAt: END }
  const high = { ...low, percent: 95, resetsAt: END - 30_000 }
  const next = { ...low, resetsAt: END + 5 * HOUR }
  const other = { key: 'codex secondary', percent: 80 }

  for (const [one, two] of [
    [[low, other], [high]],
    [[high], [low, other]],
  ] as const) {
    expect(mergeTold(one, two)).toEqual(expect.arrayContaining([high, other]))
    expect(mergeTold(one, two)).toHaveLength(2)
  }
  expect(mergeTold([high], [next])).toEqual([next])
  expect(mergeTold([next], [high])).toEqual([next])
})

test('an end that is not known, or has passed, is not told', () => {
  const primary = { usedPercent: 81 }
  const limits = [{ id: 'codex', primary }]

  expect(limitNotices({ limits }, [], NOW).messages).toEqual(['81 % of the limit is used.'])
  expect(told([{ usedPercent: 81, resetsAt: NOW - 1 }])).toEqual([
    '81 % of the limit for 5 h is used.',
  ])
})

test('each window of each limit is told by itself, by its name', () => {
  const limits = [
    { id: 'codex', primary: { usedPercent: 82 }, secondary: { usedPercent: 96 } },
    { id: 'codex_large', name: 'GPT-Large', primary: { usedPercent: 83 } },
    { id: 'other', secondary: { usedPercent: 84 } },
    { id: 'idle', primary: { usedPercent: 2 } },
  ]
  const first = limitNotices({ limits }, [], NOW)

  expect(first.messages).toEqual([
    '82 % of the limit is used.',
    '96 % of the limit is used.',
    '83 % of the GPT-Large limit is used.',
    '84 % of the other limit is used.',
  ])
  expect(limitNotices({ limits }, first.told, NOW).messages).toEqual([])
  // An answer that says nothing of them does not make them new.
  const between = limitNotices({ limits: [] }, first.told, NOW)
  expect(limitNotices({ limits }, between.told, NOW).messages).toEqual([])
})

test('a name cannot fill the screen or move the cursor', () => {
  const name = `\x1b]0;owned\x07\n${'x'.repeat(5000)}`
  const limits = [{ id: 'a', name, primary: { usedPercent: 99 } }]
  const [message = ''] = limitNotices({ limits }, [], NOW).messages

  expect(message).not.toMatch(/\p{Cc}/u)
  expect(message.length).toBeLessThan(120)
})
