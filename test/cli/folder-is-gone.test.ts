import { spawn } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type Home, openHome } from './cli-process.ts'

let home: Home

beforeEach(() => {
  home = openHome()
})

afterEach(() => home.clear())

/** Runs the command line in a folder that a shell has removed under itself. */
async function runInGone(args: readonly string[], env: NodeJS.ProcessEnv = {}) {
  const gone = join(home.workspace, 'gone')
  mkdirSync(gone)
  const script = 'rmdir "$PWD" && exec "$@"'
  const child = spawn('bash', ['-c', script, 'bash', process.execPath, home.cli, ...args], {
    cwd: gone,
    env: { ...home.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const [code, stdout, stderr] = await Promise.all([
    new Promise((resolve) => child.once('close', resolve)),
    text(child.stdout),
    text(child.stderr),
  ])
  expect(stdout + stderr).not.toMatch(/^ {4}at |uv_cwd/m)
  return { code, stdout, stderr }
}

test.each([
  ['a run', ['run', 'run: true'], {}],
  ['a run in a relative folder', ['run', '--workspace', 'sub', 'run: true'], {}],
  ['a data folder that is named from there', ['sessions'], { CODEX_DATA_DIR: 'data' }],
])('what needs the folder ends with 2 and one sentence: %s', async (_, args, env) => {
  const { code, stdout, stderr } = await runInGone(args, env)

  expect(code).toBe(2)
  expect(stdout).toBe('')
  expect(stderr).toMatch(/^[^\n]*(no longer there|does not exist)[^\n]*\n$/)
})

test('with --json the end is one event', async () => {
  const { code, stdout } = await runInGone(['run', '--json', 'run: true'])

  expect(code).toBe(2)
  expect(JSON.parse(stdout)).toMatchObject({
    type: 'finished',
    error: { code: 'workspace-invalid', message: expect.stringContaining('no longer there') },
  })
})

test.each([
  ['status', [3, 0]],
  ['sessions', [0]],
  ['models', [0]],
  ['--version', [0]],
  ['doctor --offline', [0, 1]],
])('what does not need it works: %s', async (command, codes) => {
  expect(codes).toContain((await runInGone(command.split(' '))).code)
})

test('a run in another folder works', async () => {
  const { code, stdout } = await runInGone(['run', '--workspace', home.workspace, 'run: echo here'])

  expect(code).toBe(0)
  expect(stdout).toContain('here')
})
