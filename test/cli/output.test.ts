import { spawn } from 'node:child_process'
import { closeSync, existsSync, openSync } from 'node:fs'
import type { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type Home, openHome } from './cli-process.ts'

let home: Home

beforeEach(() => {
  home = openHome()
})

afterEach(() => home.clear())

const hasFull = existsSync('/dev/full')

/** With one of its outputs on a disk that is full. */
async function withFullDisk(args: string[], output: 'stdout' | 'stderr') {
  const full = openSync('/dev/full', 'w')
  const child = spawn(process.execPath, [home.cli, ...args], {
    cwd: home.workspace,
    env: home.env,
    stdio: ['ignore', output === 'stdout' ? full : 'pipe', output === 'stderr' ? full : 'pipe'],
  })
  closeSync(full)
  const [said, code] = await Promise.all([
    text((output === 'stdout' ? child.stderr : child.stdout) as Readable),
    new Promise<number | null>((resolve) => child.once('close', resolve)),
  ])
  return { said, code }
}

const COMMANDS = [
  ['run', 'run: echo hello'],
  ['run', '--json', 'run: sleep 60'],
  ['status'],
  ['sessions'],
  ['--help'],
]

test.skipIf(!hasFull).each(COMMANDS.map((args) => [args.join(' '), args] as const))(
  '`codexbox %s` says that a disk is full, and ends with 1',
  async (_, args) => {
    if (args[0] === 'sessions') await home.run(['run', 'run: echo hello'])

    const { said, code } = await withFullDisk([...args], 'stdout')

    expect(code).toBe(1)
    expect(said.match(/The output cannot be written: No space left on device\./g)).toHaveLength(1)
  },
)

test.skipIf(!hasFull)('a run goes on where nothing can be written to stderr', async () => {
  const { said, code } = await withFullDisk(['run', 'run: echo hello'], 'stderr')

  expect(code).toBe(0)
  expect(said).toContain('This was a scripted demo')
})

test('a reader that leaves interrupts the run in good order: its session goes on', async () => {
  const args = ['run', '--json', '--session', 'left', 'run: echo begun; sleep 60']
  const child = spawn(process.execPath, [home.cli, ...args], {
    cwd: home.workspace,
    env: home.env,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  child.stdout.once('data', () => child.stdout.destroy())

  const [stderr, code] = await Promise.all([
    text(child.stderr),
    new Promise<number | null>((resolve) => child.once('close', resolve)),
  ])
  const next = await home.run(['run', '--session', 'left', 'run: echo hello'])

  expect({ code, stderr }).toEqual({ code: 130, stderr: '' })
  expect(next.code).toBe(0)
})

test('a reader that leaves when it has what it wants is no failure', async () => {
  const child = spawn(process.execPath, [home.cli, '--help'], {
    env: home.env,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  child.stdout.destroy()

  const [stderr, code] = await Promise.all([
    text(child.stderr),
    new Promise<number | null>((resolve) => child.once('close', resolve)),
  ])

  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
})
