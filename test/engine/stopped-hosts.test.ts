import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { describeWithEngine, withoutLeftovers } from '../real-engine.ts'
import { aWorkspace, cleanUp, later } from './engine-contract.ts'
import { startHost } from './host-process.ts'

const RUN_MS = 4000
const IDLE_MS = 2000
/** For the worker to end what it runs, and for the engine to remove the container. */
const SLACK_MS = 15_000

// A host that is stopped (SIGSTOP, a suspended machine, a debugger) neither reads nor ends anything:
// whatever ends now, the container ends by itself.
describeWithEngine('the container of a host that is stopped', ({ docker, image }) => {
  afterAll(async () => {
    await cleanUp()
    await withoutLeftovers(docker, { label: [`codexbox.pid=${process.pid}`] })
  })

  // Each by what its tool does, and the event at which the host is stopped.
  test.concurrent.each([
    ['whose tool hangs', 'sleep 600', 'tool.started'],
    [
      'whose tool ignores signals',
      'trap "" TERM INT HUP; while :; do sleep 1; done',
      'tool.started',
    ],
    ['whose tool stops the process that runs tools', 'kill -STOP $PPID; sleep 600', 'tool.started'],
    ['whose tool floods what nobody reads', "yes 'a line that nobody reads'", 'tool.output'],
    ['that waits for a model that does not answer', 'sleep 1', 'tool.started'],
  ])(
    'keeps the deadline of a run %s, and then leaves by itself',
    async (_, command, moment) => {
      const dataDir = mkdtempSync(join(tmpdir(), 'codexbox-stopped-'))
      const host = startHost({
        prompt: `run: ${command}`,
        workspace: aWorkspace(),
        settings: { provider: 'demo', engine: 'docker', image, dataDir },
        limits: { runMs: RUN_MS, idleMs: IDLE_MS },
      })
      later(() => {
        host.child.kill('SIGKILL')
        rmSync(dataDir, { recursive: true, force: true })
      })
      const { runId } = await host.until(moment)
      const removed = docker.getContainer(`codexbox-${runId}`).wait({ condition: 'removed' })

      const stoppedAt = performance.now()
      host.child.kill('SIGSTOP')
      await removed
      console.log(`gone ${Math.round(performance.now() - stoppedAt)} ms after the host was stopped`)

      expect(performance.now() - stoppedAt).toBeLessThan(RUN_MS + IDLE_MS + SLACK_MS)
      host.child.kill('SIGCONT')
      expect(await host.until('finished')).toMatchObject({
        status: 'failed',
        error: { code: 'run-timeout' },
      })
      expect(await host.ended()).toBe(0)
    },
    60_000,
  )
})
