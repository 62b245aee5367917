import { PassThrough } from 'node:stream'
import type { WriteStream } from 'node:tty'
import { afterEach, expect, test, vi } from 'vitest'
import { closeAndTell } from '../../host/outer/cli/run-command.ts'
import { Screen } from '../../host/outer/cli/screen.ts'
import { NO_USAGE } from '../../shared/no-usage.ts'
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

const message = (text: string): EventBody => ({
  type: 'item',
  item: { type: 'message', role: 'assistant', content: [{ type: 'output_text', text }] },
})
const CALL: EventBody = { type: 'tool.started', callId: 'c', name: 'bash', arguments: '{}' }
const ended = (status: 'done' | 'failed'): EventBody => ({
  type: 'finished',
  status,
  usage: NO_USAGE,
  turns: 1,
  toolCalls: 0,
  durationMs: 1,
})

test('a terminal shows each piece of a message at once, with escapes for what is not seen', () => {
  const { said, show } = aScreen({ isTerminal: true })

  show({ type: 'text.delta', text: 'One\x1b[2J' })

  expect(said.words).toBe('One\\x1b[2J')
})

test.each<[what: string, events: EventBody[], words: string, about: RegExp]>([
  [
    'the last message of a run that is done, byte for byte',
    [message('Let me look.\n'), CALL, message('{"a":"\x1b\x00\r\n"}'), ended('done')],
    '{"a":"\x1b\x00\r\n"}\n',
    /^Let me look\.\n/,
  ],
  [
    'nothing of a run that failed',
    [message('Let me look.'), { type: 'text.delta', text: 'It is' }, ended('failed')],
    '',
    /^Let me look\.\nIt is\n/,
  ],
  [
    'nothing that a broken answer has begun to say',
    [
      { type: 'text.delta', text: 'It i' },
      {
        type: 'retry',
        attempt: 1,
        delayMs: 0,
        discardsText: true,
        reason: { code: 'stream-broken', message: 'The answer broke off.' },
      },
      message('It is 42.'),
      ended('done'),
    ],
    'It is 42.\n',
    /^It i\nThe answer broke off\./,
  ],
  [
    'a message whose pieces did not come',
    [message('It is 42.'), ended('done')],
    'It is 42.\n',
    /^[^I]/,
  ],
  [
    'the pieces of a message that is kept nowhere, such as a refusal',
    [
      { type: 'text.delta', text: 'I cannot ' },
      { type: 'text.delta', text: 'do that.' },
      ended('done'),
    ],
    'I cannot do that.\n',
    /^[^I]/,
  ],
])('where stdout is no terminal it gets %s', (_, events, words, about) => {
  const { said, show } = aScreen({ isTerminal: false })

  for (const event of events) show(event)

  expect(said.words).toBe(words)
  expect(said.about).toMatch(about)
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

test('files that may run by themselves are a line a kind, with names that cannot move the terminal', () => {
  const { said, show } = aScreen({ isTerminal: false })
  const why = 'somebody runs it'

  show({
    type: 'planted',
    paths: [
      { path: '.git/config', why, kind: 'git' },
      ...[1, 2, 3, 4, 5].map((i) => ({ path: `.vscode/${i}\x1b[2J\u202e`, why, kind: 'editor' })),
      { path: '.', why: 'the look was cut short', kind: 'unread' },
      { path: 'x', why, kind: 'of-tomorrow' },
    ],
    kinds: [
      { kind: 'git', count: 1 },
      { kind: 'editor', count: 70 },
      { kind: 'unread', count: 1 },
      { kind: 'of-tomorrow', count: 1 },
    ],
    more: 65,
  })

  const hostile = [1, 2, 3, 4].map((i) => `.vscode/${i}\\x1b[2J\\u202e`).join(', ')
  expect(said.about.split('\n')).toEqual([
    'These files changed in this run and can run commands on your machine later:',
    '  .git/config: git runs commands from it, also for `git status`',
    `  ${hostile} and 66 more: an editor, linter, test runner or build tool runs it when the folder is opened or used`,
    '  x: of-tomorrow',
    'What may run commands on your machine later was not all read; look there yourself: . (the look was cut short)',
    '',
  ])
})

test('where nothing changed, what was not read is said alone', () => {
  const { said, show } = aScreen({ isTerminal: false })

  show({
    type: 'planted',
    paths: [{ path: 'deep', why: 'it lies too deep', kind: 'unread' }],
    kinds: [{ kind: 'unread', count: 1 }],
    more: 0,
  })

  expect(said.about).toBe(
    'What may run commands on your machine later was not all read; look there yourself: deep (it lies too deep)\n',
  )
})

test('what was written after the last run is told when a conversation is closed', async () => {
  const { screen, said } = aScreen({ isTerminal: false })
  const left = {
    paths: [{ path: '.envrc', why: 'direnv runs it', kind: 'enter' }],
    kinds: [{ kind: 'enter', count: 1 }],
    more: 0,
  }

  await closeAndTell({ close: async () => left }, screen)
  await closeAndTell({ close: async () => undefined }, screen)

  expect(said.about.split('\n')).toEqual([
    'These files changed since the last run ended and can run commands on your machine later:',
    '  .envrc: it runs when the folder is entered',
    '',
  ])
})

test('a repair, and an answer that is discarded, are told in plain words', () => {
  const { said, show } = aScreen({ isTerminal: false })

  show({ type: 'repair', message: 'a call without an answer was closed' })
  show({
    type: 'retry',
    attempt: 1,
    delayMs: 1000,
    reason: { code: 'stream-cut', message: 'The answer broke off.' },
    discardsText: true,
  })

  expect(said.about.split('\n')).toEqual([
    'repaired: a call without an answer was closed',
    'The answer broke off. Trying again in 1.0 s.',
    'The answer since the last finished step is discarded and will come again.',
    '',
  ])
})
