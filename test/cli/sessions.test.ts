import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type Home, openHome } from './cli-process.ts'

let home: Home

beforeEach(() => {
  home = openHome()
})

afterEach(() => home.clear())

test('a session is continued by its name, listed, shown and removed', async () => {
  await home.run(['run', '--session', 'mine', 'run: echo one'])
  await home.run(['--session', 'mine', 'run', 'what did you do?'])

  const [list, listJson, show, showJson] = await Promise.all([
    home.run(['sessions']),
    home.run(['sessions', 'list', '--json']),
    home.run(['sessions', 'show', 'mine']),
    home.run(['sessions', 'show', '--json', 'mine']),
  ])

  expect(list.stdout).toMatch(/^mine {2}.*kB\n$/)
  expect(JSON.parse(listJson.stdout)).toEqual({
    name: 'mine',
    changedAt: expect.any(Number),
    bytes: expect.any(Number),
  })
  expect(show.stdout).toContain('› run: echo one')
  expect(show.stdout).toContain('  · bash')
  expect(show.stdout).toContain('› what did you do?')
  const lines = showJson.stdout.split('\n').slice(0, -1)
  expect(
    lines
      .map((line) => JSON.parse(line).type)
      .filter((type) => !['item', 'counted'].includes(type)),
  ).toEqual(['session', 'run', 'finished', 'run', 'finished'])

  const remove = await home.run(['sessions', 'remove', 'mine'])
  expect(remove).toMatchObject({ code: 0, stdout: 'Removed 1 session.\n' })
  expect(readdirSync(join(home.dataDir, 'sessions'))).toEqual([])
  expect((await home.run(['sessions'])).stdout).toBe('No sessions yet.\n')
  expect((await home.run(['sessions', '--json'])).stdout).toBe('')
})
