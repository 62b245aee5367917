import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { watchAutorun } from '../../host/outer/autorun/watch.ts'
import type { EventBody } from '../../shared/protocol.ts'
import { scriptPackage } from '../script-package.ts'
import { linkChains } from './hostile-folders.ts'

const promptCost = await scriptPackage('test/autorun/prompt-cost.ts')

let folder: string

beforeEach(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'codexbox-watch-')))
})

afterEach(() => rmSync(folder, { recursive: true, force: true }))

/** What a watch sees of a run. */
function aRun() {
  const events: EventBody[] = []
  const listeners = new Set<() => void>()
  return {
    events,
    stop: () => {
      for (const act of listeners) act()
    },
    emit: (event: EventBody) => void events.push(event),
    whenStopped: (act: () => void) => {
      listeners.add(act)
      return () => void listeners.delete(act)
    },
  }
}

test('a prompt in a folder of 31 000 files takes little of the event loop, the first one and the opening as well', () => {
  for (let i = 0; i < 310; i++) {
    const at = join(folder, `packages/p${i % 31}/src/m${i}`)
    mkdirSync(at, { recursive: true })
    for (let j = 0; j < 100; j++) writeFileSync(join(at, `${j}.ts`), '')
  }

  // Of several, because tests share the machine with others.
  const processes = Array.from({ length: 5 }, () => busyMs())

  expect(Math.min(...processes.map(({ prompts: [first = 0] }) => first))).toBeLessThan(5)
  expect(Math.min(...processes.flatMap(({ prompts: [, ...later] }) => later))).toBeLessThan(2)
  expect(Math.min(...processes.map(({ opening }) => opening))).toBeLessThan(15)
}, 60_000)

function busyMs(): { opening: number; prompts: number[] } {
  const { stdout } = spawnSync(process.execPath, [promptCost, folder, '3'], { encoding: 'utf8' })
  return JSON.parse(stdout)
}

test('a look before the run that is stopped leaves nothing to compare with, which is said', async () => {
  linkChains(folder)
  const watch = watchAutorun(folder)
  const run = aRun()
  const begun = watch.runBegins(run)()
  await new Promise((resolve) => setImmediate(resolve))

  run.stop()
  await begun
  await watch.runOver(run)

  expect(run.events).toMatchObject([
    {
      type: 'planted',
      paths: [
        {
          path: '.',
          kind: 'unread',
          why: 'what was there before the run is not known: it was stopped',
        },
      ],
    },
  ])
  expect(await watch.containerGone()).toBeUndefined()
}, 60_000)

test('a workspace that is no folder any more is said to be unread', async () => {
  const watch = watchAutorun(folder)
  const run = aRun()
  await watch.runBegins(run)()
  rmSync(folder, { recursive: true })

  await watch.runOver(run)

  expect(run.events).toMatchObject([{ type: 'planted', kinds: [{ kind: 'unread', count: 1 }] }])
})
