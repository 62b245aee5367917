import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { applySections } from '../../container/worker/patch/apply-sections.ts'
import { type FileChange, parsePatch } from '../../container/worker/patch/parse-patch.ts'
import { ToolError } from '../../container/worker/tool.ts'
import { isFull } from '../full-size.ts'
import { workTime } from '../work-time.ts'

/** What an update of one file with these lines makes of `text`. */
function patched(text: string, ...lines: string[]): string {
  const [change] = parsePatch(envelope('*** Update File: f', ...lines))
  if (change?.type !== 'update') throw new Error('no update')
  return applySections(text, change.sections, '/f')
}

const envelope = (...lines: string[]) => ['*** Begin Patch', ...lines, '*** End Patch'].join('\n')

describe('a patch', () => {
  test('is read file by file', () => {
    const changes = parsePatch(
      envelope(
        ...['*** Add File: new.txt', '+one', '+', '+*** End Patch', ''],
        ...['*** Delete File: old dir/old.txt'],
        ...['*** Update File: a', '*** Move to: b'],
        ...['*** Update File: c', '@@ class A', '@@ def f', ' x', '-y', '+z', '*** End of File'],
      ),
    )

    expect(changes).toEqual([
      { type: 'add', path: 'new.txt', content: 'one\n\n*** End Patch\n' },
      { type: 'delete', path: 'old dir/old.txt' },
      { type: 'update', path: 'a', moveTo: 'b', sections: [] },
      {
        type: 'update',
        path: 'c',
        moveTo: undefined,
        sections: [
          {
            anchors: ['class A', 'def f'],
            lines: [
              { kind: ' ', text: 'x' },
              { kind: '-', text: 'y' },
              { kind: '+', text: 'z' },
            ],
            atEnd: true,
          },
        ],
      },
    ] satisfies FileChange[])
  })

  test.for([
    ['nothing', '', 'Line 1 of the patch is ""; expected *** Begin Patch'],
    ['no beginning', '*** Add File: a\n+x', 'expected *** Begin Patch'],
    ['no end', '*** Begin Patch\n*** Add File: a\n+x', 'Line 4 of the patch is the end'],
    ['no file', envelope(), 'changes no file'],
    ['text after its end', `${envelope('*** Delete File: a')}\nx`, 'text after *** End Patch'],
    ['a file without a name', envelope('*** Delete File:  '), 'expected a path after'],
    ['an update of nothing', envelope('*** Update File: a'), 'changes nothing'],
    ['an update of an anchor', envelope('*** Update File: a', '@@ x'), 'expected a line with'],
    ['a line of no kind', envelope('*** Update File: a', '@@', '-x', 'y'), 'Line 5 of the patch'],
    ['an unknown part', envelope('*** Rename File: a'), 'Line 2 of the patch is "*** Rename'],
    ['a line in the middle of nowhere', envelope('+x'), 'expected *** Add File:'],
  ] as const)('with %s is refused, and it is said where', ([, patch, message]) => {
    expect(() => parsePatch(patch)).toThrow(ToolError)
    expect(() => parsePatch(patch)).toThrow(message)
  })

  test('may have line ends of two bytes itself', () => {
    const patch = envelope('*** Add File: a', '+x').replaceAll('\n', '\r\n')

    expect(parsePatch(patch)).toEqual([{ type: 'add', path: 'a', content: 'x\n' }])
  })
})

describe('a section', () => {
  const text = 'one\ntwo\nthree\ntwo\nfour\n'

  test.for([
    [
      'replaces the first place that is like it',
      ['@@', '-two', '+2'],
      'one\n2\nthree\ntwo\nfour\n',
    ],
    ['needs no @@ at first', ['-two', '+2'], 'one\n2\nthree\ntwo\nfour\n'],
    ['is told apart by its context', ['@@', ' three', '-two'], 'one\ntwo\nthree\nfour\n'],
    ['is looked for below its anchor', ['@@ three', '-two'], 'one\ntwo\nthree\nfour\n'],
    ['may have several anchors', ['@@ one', '@@ three', '-two'], 'one\ntwo\nthree\nfour\n'],
    ['comes after the one before', ['@@', '-two', '@@', '-two'], 'one\nthree\nfour\n'],
    ['may end the file', ['@@', ' four', '+five', '*** End of File'], `${text}five\n`],
    ['only adds, at the end', ['@@', '+five'], `${text}five\n`],
    ['only adds, below an anchor', ['@@ three', '+new'], 'one\ntwo\nthree\nnew\ntwo\nfour\n'],
    ['only adds, though a gap follows', ['@@', '+five', '', ''], `${text}five\n`],
    ['may be followed by a gap', ['@@', '-four', ''], 'one\ntwo\nthree\ntwo\n'],
    ['may take out everything', ['-one', '-two', '-three', '-two', '-four'], ''],
  ] as const)('%s', ([, lines, expected]) => {
    expect(patched(text, ...lines)).toBe(expected)
  })

  test.for([
    ['with blanks at the end', 'a  \nb\n', [' a', '-b', '+c'], 'a  \nc\n'],
    ['with another indent', '\t\ta\n\t\tb\n', ['   a', '-  b', '+\t\tc'], '\t\ta\n\t\tc\n'],
    [
      'with typographic signs',
      '“a” – ‘b’\u00a0c\nx\n',
      [' "a" - \'b\' c', '-x'],
      '“a” – ‘b’\u00a0c\n',
    ],
    ['after a byte order mark', '\uFEFFa\nb\n', ['-a', '+c'], '\uFEFFc\nb\n'],
  ] as const)('is found %s, and what it keeps stays as it was', ([, before, lines, after]) => {
    expect(patched(before, ...lines)).toBe(after)
  })

  test('is found exactly where that is possible, even further down', () => {
    expect(patched(' a\na\n', '-a', '+b')).toBe(' a\nb\n')
    expect(patched(' a\na \n', '-a', '+b')).toBe(' a\nb\n')
    expect(patched('“a”\n "a"\n', '-"a"', '+b')).toBe('“a”\nb\n')
  })

  test('keeps line ends of two bytes, and gives them to new lines', () => {
    expect(patched('a\r\nb\r\nc\r\n', ' a', '-b', '+x', '+y\r')).toBe('a\r\nx\r\ny\r\nc\r\n')
    expect(patched('a\nb\r\nc\n', '-a', '+x', ' b')).toBe('x\nb\r\nc\n')
  })

  test('leaves the last line without an end if it had none', () => {
    expect(patched('a\nb', '-b', '+c')).toBe('a\nc')
    expect(patched('a\nb', '@@', '+c')).toBe('a\nb\nc')
    expect(patched('a\nb', ' a', '-b')).toBe('a')
    expect(patched('a\r\nb', ' b', '+c')).toBe('a\r\nb\r\nc')
    expect(patched('', '@@', '+c')).toBe('c\n')
  })

  test.for([
    ['is not there', ['-nope', '+x'], 'Failed to find expected lines in /f:\nnope'],
    ['is only further up', ['@@', '-four', '@@', '-one'], 'expected lines in /f:\none'],
    ['has an anchor that is not there', ['@@ nope', '-one'], "Failed to find context 'nope' in /f"],
    ['is not the end of the file', ['-one', '*** End of File'], 'expected lines in /f:\none'],
    ['is longer than the file', Array.from({ length: 9 }, () => ' one'), 'expected lines'],
  ] as const)('fails when it %s', ([, lines, message]) => {
    expect(() => patched(text, ...lines)).toThrow(ToolError)
    expect(() => patched(text, ...lines)).toThrow(message)
  })

  test('that would take for ever to place is given up', { timeout: 60_000 }, () => {
    const lines = Array.from({ length: 20_000 }, () => ' a')
    const worked = workTime()

    expect(() => patched('a\n'.repeat(500_000), ...lines, '-b')).toThrow('takes too long')
    expect(worked()).toBeLessThan(30_000)
  })
})

/** Lines that are easily mistaken for each other, and for the signs of a patch. */
const anyLine = fc.oneof(
  fc.constantFrom('', ' ', 'a', ' a', 'a ', '-a', '+a', '@@', '@@ a', '*** End Patch', '{', '}'),
  fc.string({ unit: 'binary', maxLength: 8 }).map((text) => text.replace(/[\r\n]/g, '')),
)
const anyLines = fc.array(anyLine, { maxLength: 12 })
const eachEnd = fc.constantFrom('\n', '\r\n')

/** A file as runs of lines: kept, or replaced by others. */
const anyEdit = fc.array(fc.record({ kept: anyLines, old: anyLines, new: anyLines }), {
  minLength: 1,
  maxLength: 4,
})

// A hundred thousand cases in all: seconds, but minutes on a machine that is busy.
describe('for any file and any edit', { timeout: 120_000 }, () => {
  test('a patch with the whole file for context makes the edited file', () => {
    fc.assert(
      fc.property(anyEdit, anyLines, eachEnd, fc.boolean(), (edit, rest, end, hasLastEnd) => {
        const before = [...edit.flatMap((part) => [...part.kept, ...part.old]), ...rest]
        const after = [...edit.flatMap((part) => [...part.kept, ...part.new]), ...rest]
        fc.pre(before.length > 0)
        // An empty last line without an end is no line.
        fc.pre(hasLastEnd || (before.at(-1) !== '' && after.at(-1) !== ''))
        const lines = [
          ...edit.flatMap((part) => [
            ...part.kept.map((line) => ` ${line}`),
            ...part.old.map((line) => `-${line}`),
            ...part.new.map((line) => `+${line}`),
          ]),
          ...rest.map((line) => ` ${line}`),
        ]
        const last = hasLastEnd ? end : ''
        const text = (all: readonly string[]) => (all.length > 0 ? all.join(end) + last : '')

        // One line without an end says nothing about how lines end.
        fc.pre(hasLastEnd || before.length > 1 || end === '\n')
        expect(patched(text(before), '@@', ...lines, '*** End of File')).toBe(text(after))
      }),
      { numRuns: isFull ? 50_000 : 15_000 },
    )
  })

  test('a patch with a section for each place makes the edited file, lines being unlike', () => {
    const places = fc.array(
      fc.record({ kept: fc.nat({ max: 5 }), old: fc.nat({ max: 3 }), new: anyLines }),
      { minLength: 1, maxLength: 6 },
    )
    fc.assert(
      fc.property(places, fc.nat({ max: 3 }), (edit, context) => {
        let count = 0
        const fresh = (length: number) => Array.from({ length }, () => `line ${++count};`)
        const before: string[] = []
        const after: string[] = []
        const lines: string[] = []
        for (const part of edit) {
          const kept = fresh(part.kept + 1)
          const old = fresh(part.old)
          before.push(...kept, ...old)
          after.push(...kept, ...part.new)
          lines.push(`@@ ${kept[0]}`)
          lines.push(...kept.slice(Math.max(1, kept.length - context)).map((line) => ` ${line}`))
          lines.push(...old.map((line) => `-${line}`), ...part.new.map((line) => `+${line}`))
          if (lines.at(-1)?.startsWith('@@')) lines.pop()
        }
        fc.pre(lines.length > 0)
        // Without context and without old lines a place is that below its anchor.
        fc.pre(edit.every((part) => part.old > 0 || context > 0 || part.kept === 0))

        expect(patched(`${before.join('\n')}\n`, ...lines)).toBe(`${after.join('\n')}\n`)
      }),
      { numRuns: isFull ? 20_000 : 6_000 },
    )
  })

  test('a patch that does not apply is a ToolError, and so is what is no patch', () => {
    const noise = fc.array(
      fc.oneof(
        anyLine,
        fc.constantFrom('*** Begin Patch', '*** Update File: f', '*** Add File: g'),
        fc.constantFrom('*** Move to: h', '*** Delete File: f', '*** End of File', '@@ a'),
        anyLine.chain((line) => fc.constantFrom(` ${line}`, `-${line}`, `+${line}`)),
      ),
      { maxLength: 12 },
    )
    const outcomes = { applied: 0, refused: 0 }
    fc.assert(
      fc.property(noise, anyLines, fc.boolean(), (lines, file, hasEnvelope) => {
        const text = file.join('\n')
        try {
          const changes = parsePatch(hasEnvelope ? envelope(...lines) : lines.join('\n'))
          for (const change of changes) {
            if (change.type === 'update') applySections(text, change.sections, '/f')
          }
          outcomes.applied++
        } catch (error) {
          expect(error).toBeInstanceOf(ToolError)
          outcomes.refused++
        }
      }),
      { numRuns: isFull ? 30_000 : 10_000 },
    )
    expect(Math.min(outcomes.applied, outcomes.refused)).toBeGreaterThan(10)
  })
})
