import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { exitCodeOfError } from '../../host/outer/cli/exit-code.ts'
import { RunEvent } from '../../shared/protocol.ts'

const text = readFileSync(new URL('../../docs/events.md', import.meta.url), 'utf8')
const rows = text
  .split('\n')
  .filter((line) => line.startsWith('| `'))
  .map((line) => line.split('|').map((cell) => cell.trim()))
const named = (cell = '') => [...cell.matchAll(/`([^`]+)`/g)].map((match) => match[1])

describe('docs/events.md', () => {
  test.each(RunEvent.options.map((option) => option.shape))(
    'lists each event with its fields',
    (shape) => {
      const type = shape.type.value
      const row = rows.find((cells) => named(cells[1]).includes(type))

      const fields = Object.keys(shape).filter(
        (key) => !['v', 'seq', 'runId', 'type'].includes(key),
      )
      expect(row, type).toBeDefined()
      expect(named(row?.[2]).sort()).toEqual(fields.sort())
    },
  )

  test('gives each error code, and the exit code it leads to', () => {
    const source = readFileSync(new URL('../../shared/errors.ts', import.meta.url), 'utf8')
    const codes = [...source.matchAll(/^ {2}\| '([a-z-]+)'$/gm)].map((match) => match[1] ?? '')
    const table = new Map(
      rows
        .filter((cells) => /^\d$/.test(cells[3] ?? ''))
        .flatMap((cells) => named(cells[1]).map((code) => [code, Number(cells[3])])),
    )

    expect(codes.length).toBeGreaterThan(20)
    expect(Object.fromEntries(codes.map((code) => [code, table.get(code)]))).toEqual(
      Object.fromEntries(codes.map((code) => [code, exitCodeOfError(code)])),
    )
  })
})
