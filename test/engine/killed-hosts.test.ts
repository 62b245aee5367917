import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, expect, test } from 'vitest'
import { randomFrom, seed } from '../chaos/seeded.ts'
import { isFull } from '../full-size.ts'
import { describeWithEngine, uniqueName } from '../real-engine.ts'
import { aWorkspace, cleanUp, later } from './engine-contract.ts'
import { type HostProcess, startHost } from './host-process.ts'

const KILLS = isFull ? 50 : 6
const GONE_MS = 10_000
const TIMEOUT_MS = 600_000

describeWithEngine('hosts that are killed', ({ docker, image }) => {
  afterAll(cleanUp)

  function aHost(prompt: string): HostProcess {
    const folder = mkdtempSync(join(tmpdir(), 'codexbox-killed-'))
    const host = startHost(
      {
        prompt,
        workspace: aWorkspace(),
        settings: { provider: 'demo', engine: 'docker', image, dataDir: join(folder, 'data') },
      },
      { env: { TMPDIR: folder } },
    )
    later(() => {
      host.child.kill('SIGKILL')
      rmSync(folder, { recursive: true, force: true })
    })
    return host
  }

  /** What there is of hosts, by its state: `created`, `running`. */
  async function containersOf(pids: number[]): Promise<string[]> {
    const all = await docker.listContainers({
      all: true,
      filters: { label: ['codexbox.managed=1'] },
    })
    return all
      .filter(({ Labels }) => pids.includes(Number(Labels['codexbox.pid'])))
      .map(({ State }) => State)
  }

  test(
    `${KILLS} at random points leave nothing that runs, and nothing at all after the next start`,
    async () => {
      const foreign = await docker.createContainer({
        name: uniqueName('foreign').replace('codexbox', 'somebodys'),
        Image: image,
        Entrypoint: ['sleep', '600'],
        HostConfig: {
          NetworkMode: 'none',
          Ulimits: [{ Name: 'nofile', Soft: 1024, Hard: 1024 }],
        },
      })
      later(() => foreign.remove({ force: true }))
      await foreign.start()
      const startedAt = performance.now()
      const first = aHost('run: sleep 600')
      await first.until('tool.started')
      const wholeStartMs = performance.now() - startedAt
      first.child.kill('SIGKILL')

      const pids = [Number(first.child.pid)]
      const random = randomFrom(seed)
      for (let kill = 0; kill < KILLS; kill++) {
        const host = aHost('run: sleep 600')
        pids.push(Number(host.child.pid))
        // The first part of a start is a process that comes up.
        await sleep(wholeStartMs * (0.2 + 0.9 * ((kill + random()) / KILLS)))
        host.child.kill('SIGKILL')
        await once(host.child, 'exit')
      }
      const killedAt = performance.now()
      let left = await containersOf(pids)
      while (left.length > 0 && performance.now() - killedAt < GONE_MS) {
        await sleep(200)
        left = await containersOf(pids)
      }
      console.log(`${KILLS} kills, seed ${seed}: left after 10 s: ${left.join(', ') || 'nothing'}`)

      // Whatever never ran can only be removed by the next who comes.
      expect(left.filter((state) => state !== 'created')).toEqual([])
      const next = aHost('run: true')
      await next.until('finished')
      expect(await next.ended()).toBe(0)
      expect(await containersOf(pids)).toEqual([])
      expect((await foreign.inspect()).State.Running).toBe(true)
    },
    TIMEOUT_MS,
  )
})
