import { PassThrough } from 'node:stream'
import type { WriteStream } from 'node:tty'
import { afterEach, expect, test, vi } from 'vitest'
import { Screen } from '../../host/cli/screen.ts'
import type { LimitWindow } from '../../shared/limits.ts'
import type { EventBody, RunEvent } from '../../shared/protocol.ts'

afterEach(() => {
  vi.useRealTimers()
})

/** A screen whose two outputs are read as text. */
function aScreen({ isTerminal }: { isTerminal: boolean }) {
  const said = { words: '', about: '' }
  const output = (name: keyof typeof said) => {
    const stream = new PassThrough()
    stream.on('data', (chunk) => {
      said[name] += chunk
    })
    return Object.assign(stream, { isTTY: isTerminal, columns: 100 }) as unknown as WriteStream
  }
  const screen = new Screen(output('words'), output('about'))
  const show = (body: EventBody) => screen.show({ v: 1, seq: 1, runId: 'r', ...body } as RunEvent)
  return { screen, said, show }
}

const limits = (...windows: [id: string, usedPercent: number, about?: Partial<LimitWindow>][]) =>
  ({
    type: 'limits',
    limits: {
      limits: windows.map(([id, usedPercent, about]) => ({
        id,
        primary: { usedPercent, ...about },
      })),
    },
  }) as const

test('limits are spoken of only when little is left, and when it has become less', () => {
  const { said, show } = aScreen({ isTerminal: false })

  show(limits(['codex', 80]))
  expect(said.about).toBe('')
  for (const percent of [81, 81.2, 81, 90]) show(limits(['codex', percent, { windowMinutes: 300 }]))
  show(limits())
  show(limits(['codex', 85], ['astra', 99]))

  expect(said.about.split('\n')).toEqual([
    '81 % of the limit for 5 h used',
    '90 % of the limit for 5 h used',
    '99 % of the astra limit used',
    '',
  ])
  expect(said.words).toBe('')
})

test('and when they begin anew', () => {
  const { said, show } = aScreen({ isTerminal: false })
  const now = new Date(2026, 10, 21, 10, 0).getTime()
  vi.useFakeTimers({ now })

  show(limits(['codex', 90, { resetsAt: now + 60 * 60_000 }]))
  show(limits(['codex', 91, { resetsAt: now - 1 }]))

  expect(said.about).toMatch(/^90 % of the limit used; resets .*11:00.*\n91 % of the limit used\n$/)
})

test('a limit cannot move the cursor or fill the screen by its name', () => {
  const { said, show } = aScreen({ isTerminal: false })

  show(limits([`\x1b]0;owned\x07\n${'x'.repeat(5000)}`, 100]))

  expect(said.about.match(/(?!\n)\p{Cc}/gu)).toBeNull()
  expect(said.about.length).toBeLessThan(250)
  expect(said.about.match(/\n/g)).toHaveLength(1)
})

test('a conversation that was shortened is a line', () => {
  const { said, show } = aScreen({ isTerminal: false })

  show({ type: 'compacted', items: [], tokensBefore: 245_000, tokensAfter: 9_500 })

  expect(said.about).toBe('The conversation was shortened: 245k tokens are now 9.5k.\n')
})

test('what a tool puts out moves the line below, and is written nowhere else', () => {
  const { said, screen, show } = aScreen({ isTerminal: true })
  const call = { callId: 'c', name: 'bash' }

  show({ type: 'tool.started', ...call, arguments: '{"command":"npm test"}' })
  show({ type: 'tool.output', callId: 'c', text: 'first\nsecond \x1b[2J line\n\n' })
  screen.still()

  expect(said.about).toContain('bash npm test · second \\x1b[2J line')
  expect(said.about).not.toContain('first')
  expect(said.about.endsWith('\r\x1b[K')).toBe(true)
  expect(said.about).not.toContain('\n')
  show({ type: 'tool.finished', ...call, ok: true, summary: 'exit code: 0', durationMs: 1 })
  show({ type: 'tool.started', ...call, arguments: '{"command":"ls"}' })
  screen.still()
  expect(said.about.slice(said.about.indexOf('exit code'))).not.toContain('second')
})

test('without a terminal the output of a tool leaves no trace', () => {
  const { said, show } = aScreen({ isTerminal: false })

  show({ type: 'tool.output', callId: 'c', text: 'out\n' })

  expect(said).toEqual({ words: '', about: '' })
})
