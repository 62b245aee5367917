import { PassThrough } from 'node:stream'
import type { WriteStream } from 'node:tty'
import { afterEach, expect, test, vi } from 'vitest'
import { Screen } from '../../host/cli/screen.ts'
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

test('limits are no line: what a person is to know of them is a notice', () => {
  const { said, show } = aScreen({ isTerminal: false })

  show({ type: 'limits', limits: { limits: [{ id: 'codex', primary: { usedPercent: 99 } }] } })
  expect(said.about).toBe('')
  show({ type: 'notice', message: '99 % of the limit is used.' })

  expect(said).toEqual({ words: '', about: '99 % of the limit is used.\n' })
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
