import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { MAX_RETRIES } from '../../container/agent/retry-policy.ts'
import { LIMITS } from '../../host/autorun/budget.ts'
import { MAX_DEPTH } from '../../host/autorun/tree.ts'
import { exitCodeOfError } from '../../host/cli/exit-code.ts'
import { DEFAULT_LIMITS } from '../../host/runs/open-conversation.ts'
import { MAX_UNREAD_PROGRESS_BYTES } from '../../host/runs/run.ts'
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

  test('says how long a run may take and how often it may ask, how often it tries, and how much a late reader finds', () => {
    expect(text).toContain(`(without it: ${DEFAULT_LIMITS.runMs / 60_000} minutes)`)
    expect(MAX_RETRIES).toBe(5)
    expect(text).toContain('was tried six times')
    expect(text).toContain(`(${DEFAULT_LIMITS.maxTurns} model requests)`)
    expect(text).toContain(`past ${MAX_UNREAD_PROGRESS_BYTES / 1024 / 1024} MiB`)
  })
})

test('README.md says how long a container waits for the next question', () => {
  const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')

  expect(readme.replaceAll('\n', ' ')).toContain('after a quarter of an hour without a question')
  expect(DEFAULT_LIMITS.idleMs).toBe(15 * 60_000)
})

test('docs/workspace.md has the bounds of the look as they are', () => {
  const page = readFileSync(new URL('../../docs/workspace.md', import.meta.url), 'utf8')
  const { ms, entries, bytes, steps, repositories } = LIMITS
  const spaced = (count: number) => count.toLocaleString('en').replaceAll(',', ' ')

  expect(page.replaceAll('\n', ' ')).toContain(
    `${ms / 1000} s, ${spaced(entries)} names, ${bytes / 1024 / 1024} MiB of contents, ${spaced(steps)} steps to files, ` +
      `folders and along links, ${repositories} repositories, ${MAX_DEPTH} folders deep`,
  )
})
