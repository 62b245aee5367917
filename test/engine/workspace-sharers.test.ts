import type Dockerode from 'dockerode'
import { afterAll, afterEach, expect, test } from 'vitest'
import { dockerEngine } from '../../host/engine/docker-engine.ts'
import { hostOwnerLabels, WORKSPACE_LABEL } from '../../host/engine/owner-labels.ts'
import { sharingNotice, workspaceSharers } from '../../host/engine/workspace-sharers.ts'
import { describeWithEngine, withoutLeftovers } from '../real-engine.ts'
import { cleanUp, startAgent } from './engine-contract.ts'

/** An engine that lists containers with these workspaces, by name. */
function listing(workspaces: Record<string, string>): Dockerode {
  const listed = Object.entries(workspaces).map(([name, workspace]) => ({
    Names: [`/${name}`],
    Labels: { ...hostOwnerLabels(), [WORKSPACE_LABEL]: workspace },
  }))
  return { listContainers: async () => listed } as unknown as Dockerode
}

test.each([
  ['the same folder', '/home/ada/project', 1],
  ['a folder in it', '/home/ada/project/packages/one', 1],
  ['a folder around it', '/home/ada', 1],
  ['one beside it', '/home/ada/project-2', 0],
])('a conversation in %s is found when it shares files', async (_, workspace, count) => {
  const own = { name: 'codexbox-own', workspace: '/home/ada/project' }
  const docker = listing({ 'codexbox-own': '/home/ada/project', 'codexbox-other': workspace })

  const found = await workspaceSharers(docker, own)

  expect(found).toEqual(count ? [{ pid: process.pid, workspace }] : [])
})

test('an engine that does not answer is no reason to fail', async () => {
  const docker = { listContainers: () => Promise.reject(new Error('no answer')) }

  const found = workspaceSharers(docker as unknown as Dockerode, { name: 'a', workspace: '/b' })

  expect(await found).toEqual([])
})

test('the person is told who it is and what it means', () => {
  expect(sharingNotice([{ pid: 7, workspace: '/home/ada/project' }])).toMatch(
    /shares files with this one: \/home\/ada\/project \(process 7\)\. .* Neither reaches/,
  )
})

describeWithEngine('of two conversations on a real engine', ({ docker, image, source }) => {
  afterEach(cleanUp)
  afterAll(() => withoutLeftovers(docker, { label: [`codexbox.pid=${process.pid}`] }))

  test('the second is told of the first, and not of itself', async () => {
    const engine = dockerEngine(docker, image, source)
    const first = await startAgent(engine)
    const second = await startAgent({
      ...engine,
      start: (spec) => engine.start({ ...spec, workspace: first.held }),
    })

    expect(first.agent.sharedWith).toEqual([])
    expect(second.agent.sharedWith).toEqual([{ pid: process.pid, workspace: first.workspace }])
  })
})
