import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type Home, openHome, type RunningCli } from './cli-process.ts'

let home: Home
let running: RunningCli | undefined

beforeEach(() => {
  home = openHome()
})

afterEach(() => {
  running?.child.kill('SIGKILL')
  home.clear()
})

const beginning = (name: string) => name.padEnd(120, 'x')

/** What may be wrong with TMPDIR, made in a folder. */
const temporary: [what: string, make: (folder: string) => string][] = [
  ['is too long for a socket', (folder) => made(join(folder, beginning('long-')))],
  ['is just too long for a socket', (folder) => made(join(folder, 'x'.repeat(75 - folder.length)))],
  ['is not there', (folder) => join(folder, 'missing')],
  ['is a file', (folder) => file(join(folder, 'file'))],
  ['cannot be written to', () => '/sys'],
]

function made(path: string): string {
  mkdirSync(path)
  return path
}

function file(path: string): string {
  writeFileSync(path, '')
  return path
}

test.each(temporary)('a run with a TMPDIR that %s ends as any other', async (_, make) => {
  const folder = join(home.workspace, '..')
  const TMPDIR = make(folder)
  const before = readdirSync(folder, { recursive: true }).sort()

  running = home.start(['run', 'run: echo hello'], { env: { TMPDIR } })

  expect(await running.result).toMatchObject({
    code: 0,
    stderr: expect.stringContaining('exit code: 0'),
  })
  const after = readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort()
  expect(after.filter((path) => !path.startsWith('data'))).toEqual(before)
})
