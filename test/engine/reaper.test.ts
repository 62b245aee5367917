import { spawnSync } from 'node:child_process'
import { afterAll, afterEach, expect, test } from 'vitest'
import { hostOwnerLabels } from '../../host/engine/owner-labels.ts'
import { removeAbandoned } from '../../host/engine/reaper.ts'
import { describeWithEngine, uniqueName, withoutLeftovers } from '../real-engine.ts'
import { cleanUp, later } from './engine-contract.ts'

const deadPid = String(spawnSync(process.execPath, ['-e', '']).pid)

describeWithEngine('what hosts that were killed left behind', ({ docker, image }) => {
  const testLabel = uniqueName('reaper')
  afterAll(() => withoutLeftovers(docker, { label: [`reaper-test=${testLabel}`] }))

  /** Created, and running only where that is asked for. */
  async function plant(
    labels: Record<string, string>,
    { name = uniqueName('reaper'), runs = false } = {},
  ): Promise<string> {
    const container = await docker.createContainer({
      name,
      Image: image,
      Entrypoint: ['sleep', '600'],
      Labels: { ...labels, 'reaper-test': testLabel },
      HostConfig: {
        NetworkMode: 'none',
        Ulimits: [{ Name: 'nofile', Soft: 1024, Hard: 1024 }],
      },
    })
    later(() => container.remove({ force: true }).catch(() => {}))
    if (runs) await container.start()
    return name
  }
  afterEach(cleanUp)

  async function whatIsLeft(): Promise<string[]> {
    const filters = { label: [`reaper-test=${testLabel}`] }
    const left = await docker.listContainers({ all: true, filters })
    return left.map(({ Names }) => String(Names[0]).slice(1)).sort()
  }

  test('is removed, and nobody else loses anything, also when two clean at the same time', async () => {
    const ofDead: Record<string, string> = { ...hostOwnerLabels(), 'codexbox.pid': deadPid }
    await plant(ofDead)
    await plant(ofDead, { runs: true })
    await plant({ ...hostOwnerLabels(), 'codexbox.pid-start': 'before/1' })
    const { 'codexbox.managed': _, ...withoutMark } = ofDead
    const spared = [
      await plant(hostOwnerLabels()),
      await plant(hostOwnerLabels(), { runs: true }),
      await plant({ ...ofDead, 'codexbox.host': 'another machine' }),
      await plant({ ...ofDead, 'codexbox.pid': '-1' }),
      await plant({ ...ofDead, 'codexbox.pid': 'x' }),
      await plant(withoutMark),
      await plant({}),
      await plant(ofDead, { name: uniqueName('reaper').replace('codexbox', 'somebodys') }),
    ]

    await Promise.all([removeAbandoned(docker), removeAbandoned(docker)])

    expect(await whatIsLeft()).toEqual(spared.sort())
  })
})
