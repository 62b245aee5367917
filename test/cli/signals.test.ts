import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { processStart } from '../../host/storage/process-start.ts'
import { callsAnswer, type ModelServer, startModelServer } from '../fakes/model-server.ts'
import { asking, type Home, openHome, type RunningCli, said } from './cli-process.ts'

let home: Home
let server: ModelServer

beforeEach(async () => {
  home = openHome()
  server = await startModelServer([])
})

afterEach(async () => {
  await server.close()
  home.clear()
})

/** A run that is in the middle of `command`, which ends with a long sleep. */
async function runInside(command: string, ...args: string[]): Promise<RunningCli> {
  server.play(callsAnswer(['bash', { command: `${command}; echo $$ > pid; exec sleep 60` }]))
  const env = asking(server)
  const running = home.start(['run', '--session', 'mine', ...args, 'Go.'], { env })
  await expect.poll(toolPid, { timeout: 10_000 }).toBeGreaterThan(0)
  return running
}

function toolPid(): number {
  const file = join(home.workspace, 'pid')
  return existsSync(file) ? Number(readFileSync(file, 'utf8')) : 0
}

/** Where nobody collects orphans, as in some containers, they stay on as zombies. */
function toolIsThere(): boolean {
  try {
    return process.kill(toolPid(), 0) && processStart(toolPid()) !== 'ended'
  } catch {
    return false
  }
}

async function expectNothingLeft(): Promise<void> {
  await expect.poll(toolIsThere, { timeout: 5_000 }).toBe(false)
  // The session is free and whole.
  const { code, stdout } = await home.run(['sessions', 'show', 'mine'])
  expect(code).toBe(0)
  expect(stdout).toContain('interrupted')
  expect((await home.run(['sessions', 'remove', 'mine'])).code).toBe(0)
}

test.each([
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const)('%s ends a run in good order, with exit code %i', async (signal, exitCode) => {
  const running = await runInside('true', '--json')

  running.child.kill(signal)

  const { code, stdout } = await running.result
  const lines = stdout.split('\n').slice(0, -1)
  expect(code).toBe(exitCode)
  expect(JSON.parse(lines.at(-1) ?? '')).toMatchObject({ type: 'finished', status: 'interrupted' })
  await expectNothingLeft()
})

test('a second Ctrl-C ends at once what the first cannot', async () => {
  // A stopped agent hears nothing: it would take the five seconds that an interruption may take.
  const running = await runInside('kill -STOP $(ps -o ppid= -p $PPID)')
  const stopping = said(running, 'Stopping')
  running.child.kill('SIGINT')
  await stopping

  const before = performance.now()
  running.child.kill('SIGINT')
  const { code } = await running.result

  expect(performance.now() - before).toBeLessThan(1_000)
  expect(code).toBe(130)
  await expectNothingLeft()
})
