import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type Dockerode from 'dockerode'
import { afterAll, afterEach, beforeEach, expect, test } from 'vitest'
import { dockerEngine } from '../../host/engine/docker-engine.ts'
import type { Engine } from '../../host/engine/engine.ts'
import { hostOwnerLabels, sharedLabels } from '../../host/engine/owner-labels.ts'
import { untilStarted } from '../../host/engine/starting-containers.ts'
import { sharingNotice, workspaceSharers } from '../../host/engine/workspace-sharers.ts'
import { holdSource, type MountSource, releaseSources } from '../../host/workspace/mount-source.ts'
import { type Pin, pinGit } from '../../host/workspace/pin-git.ts'
import { describeWithEngine, withoutLeftovers } from '../real-engine.ts'
import { cleanUp, later, startAgent, TOOL_USER } from './engine-contract.ts'

let box: string

beforeEach(() => {
  box = realpathSync(mkdtempSync(join(tmpdir(), 'codexbox-sharers-')))
  mkdirSync(join(box, 'project/packages/one'), { recursive: true })
  mkdirSync(join(box, 'project-2'))
  execFileSync('git', ['init', '-q', join(box, 'project')])
  if (process.getuid?.() === 0) {
    execFileSync('chown', ['-R', `${TOOL_USER.uid}:${TOOL_USER.gid}`, join(box, 'project')])
    chownSync(box, TOOL_USER.uid, TOOL_USER.gid)
  }
})
afterEach(async () => {
  await cleanUp()
  rmSync(box, { recursive: true, force: true })
})

function hold(path: string): { workspace: MountSource; pinned: Pin[] } {
  const workspace = holdSource(join(box, path))
  const pinned = pinGit(workspace)
  later(() => releaseSources([workspace, ...pinned]))
  return { workspace, pinned }
}

const ALL_PINS = ['', '/hooks', '/config', '/config.worktree', '/modules', '/worktrees'].map(
  (name) => `.git${name}`,
)

/** An engine that lists our container, and one that is made and not started, with these labels. */
function listing(labels: Record<string, string>, State = 'created'): Dockerode {
  const listed = ['codexbox-own', 'codexbox-other'].map((name) => ({
    Id: name,
    Names: [`/${name}`],
    State,
    Labels: { ...hostOwnerLabels(), ...labels },
    Mounts: [{ Destination: '/workspace' }],
  }))
  return { listContainers: async () => listed } as unknown as Dockerode
}

const sharersOf = (docker: Dockerode) =>
  workspaceSharers(docker, { id: 'codexbox-own', ...hold('project') }, 'the test')

test.each<[where: string, path: string, pins: string[], holds: string[] | undefined]>([
  ['the same folder, with all that is pinned', 'project', ALL_PINS, ALL_PINS],
  ['the same folder, with a part of it', 'project', ['.git', '.git/hooks'], ['.git', '.git/hooks']],
  ['the same folder, with no .git', 'project', ['.git/hooks'], []],
  ['a folder around it', '', ALL_PINS, []],
  ['a folder in it', 'project/packages/one', [], []],
  ['a folder in its repository', 'project/.git/objects', [], []],
  ['its repository', 'project/.git', [], []],
  ['a folder beside it', 'project-2', [], undefined],
])('tools of a conversation in %s cannot move %s', async (_, path, pins, holds) => {
  const other = holdSource(join(box, path))
  later(() => releaseSources([other]))
  const { path: workspace, identity } = other

  const sharers = await sharersOf(listing(sharedLabels({ workspace, identity, pins })))

  expect(sharers.map(({ pid, workspace }) => ({ pid, workspace }))).toEqual(
    holds ? [{ pid: process.pid, workspace }] : [],
  )
  expect(sharers.map((sharer) => ALL_PINS.filter((at) => sharer.holds(at)))).toEqual(
    holds ? [holds] : [],
  )
})

test.each<[where: string, path: string, pins: string[], goesFirst: boolean]>([
  ['the same folder, with what is pinned here', 'project', ['.git', '.git/hooks'], false],
  ['the same folder, with more than is pinned here', 'project', ['.git', '.git/x'], true],
  ['a folder around it', '', ['.git'], true],
  ['a folder in it', 'project/packages/one', [], true],
])(
  'a container that is made and not started, in %s, is waited for: %s',
  async (_, path, pins, goesFirst) => {
    const other = holdSource(join(box, path))
    later(() => releaseSources([other]))
    const { path: workspace, identity } = other

    const [sharer] = await sharersOf(listing(sharedLabels({ workspace, identity, pins })))

    expect(sharer?.goesFirst).toBe(goesFirst)
  },
)

test('one that does not start is waited for in bounded time, and named', async () => {
  const sharer = { id: 'a', pid: 7, workspace: '/w', holds: () => true, goesFirst: true }
  const container = { inspect: async () => ({ State: { Status: 'created' } }) }
  const docker = { getContainer: () => container } as unknown as Dockerode

  await expect(untilStarted(docker, [sharer], 'the test', 100)).rejects.toMatchObject({
    code: 'engine-unavailable',
    message: expect.stringMatching(/in \/w \(process 7\), has not started within 0.1 s/),
  })
})

test.each([
  ['is closed to this user', () => chmodSync(join(box, 'other'), 0)],
  [
    'has become a loop',
    () => {
      rmSync(join(box, 'other'), { recursive: true })
      symlinkSync('other', join(box, 'other'))
    },
  ],
])('a path of another conversation that %s is no reason to fail', async (_, close) => {
  mkdirSync(join(box, 'other/folder'), { recursive: true })
  close()
  const labels = sharedLabels({ workspace: join(box, 'other/folder/a'), identity: '1:2', pins: [] })

  expect(await sharersOf(listing(labels))).toEqual([])

  if (lstatSync(join(box, 'other')).isDirectory()) chmodSync(join(box, 'other'), 0o755)
})

test('a repository that was moved to where another conversation has it is known by what it is', async () => {
  const git = holdSource(join(box, 'project/.git'))
  later(() => releaseSources([git]))
  const labels = sharedLabels({ workspace: '/gone', identity: git.identity, pins: [] })

  const [sharer] = await sharersOf(listing(labels))

  expect(sharer?.holds('.git/hooks')).toBe(false)
})

test('a conversation that has ended since it was listed is none', async () => {
  const { path: workspace, identity } = hold('project').workspace
  const gone = Object.assign(new Error('no such container'), { statusCode: 404 })
  const docker = Object.assign(
    listing(sharedLabels({ workspace, identity, pins: [] }), 'running'),
    {
      getContainer: () => ({ inspect: () => Promise.reject(gone) }),
    },
  )

  expect(await sharersOf(docker)).toEqual([])
})

test('a container that does not say what it has may have anything', async () => {
  const [sharer] = await sharersOf(listing({}))

  expect(sharer?.holds('.git')).toBe(false)
})

test('an engine that does not tell gets no container started', async () => {
  const docker = { listContainers: () => Promise.reject(new Error('not today')) }

  await expect(sharersOf(docker as unknown as Dockerode)).rejects.toMatchObject({
    code: 'engine-unavailable',
  })
})

test('the person is told who it is, what it means, and what is not protected', () => {
  const sharer = {
    id: 'a',
    pid: 7,
    workspace: '/home/ada/project',
    holds: () => true,
    goesFirst: false,
  }

  expect(sharingNotice([sharer], [])).toMatch(
    /shares files with this one: \/home\/ada\/project \(process 7\)\. .* such as a network\. Use two folders .*mixed\.$/,
  )
  expect(sharingNotice([sharer], ['.git', '.git/hooks'])).toMatch(
    /Not protected from this agent, .*: \.git, \.git\/hooks\. Use two folders/,
  )
})

describeWithEngine('on a real engine', ({ docker, image, source }) => {
  afterAll(() => withoutLeftovers(docker, { label: [`codexbox.pid=${process.pid}`] }))

  const local = dockerEngine(docker, image, source)

  /** An agent on a folder, with all that is to be pinned of it. */
  async function startIn(path: string, engine: Engine = local) {
    const held = hold(path)
    const on: Engine = { ...engine, start: (spec) => engine.start({ ...spec, ...held }) }
    const { agent, name } = await startAgent(on)
    const { Mounts } = await docker.getContainer(name).inspect()
    const pins = Mounts.map(({ Destination }) => Destination)
      .filter((path) => path.startsWith('/workspace/'))
      .map((path) => path.slice('/workspace/'.length))
    return {
      name,
      sharedWith: agent.sharedWith?.map(({ workspace }) => workspace),
      unpinned: agent.unpinned,
      pins: pins.sort(),
    }
  }

  test('the second of two in a folder is told of the first, and as well protected', async () => {
    const first = await startIn('project')
    const second = await startIn('project')

    expect(first).toMatchObject({ sharedWith: [], unpinned: [], pins: [...ALL_PINS].sort() })
    expect(second).toMatchObject({
      sharedWith: [join(box, 'project')],
      unpinned: [],
      pins: [...ALL_PINS].sort(),
    })
  })

  test('what git has replaced meanwhile is not mounted again where tools could move it', async () => {
    await startIn('project')
    execFileSync('git', ['-c', 'safe.directory=*', 'config', 'user.name', 'ada'], {
      cwd: join(box, 'project'),
    })

    const second = await startIn('project')

    expect(second.unpinned).toEqual(['.git/config'])
    expect(second.pins).not.toContain('.git/config')
    expect(second.pins).toContain('.git/hooks')
  })

  test('nothing of a repository is mounted again that tools can move: of one that began before it, or around it', async () => {
    rmSync(join(box, 'project/.git'), { recursive: true })
    await startIn('project')
    mkdirSync(join(box, 'project/.git'))
    writeFileSync(join(box, 'project/.git/config'), '')

    const second = await startIn('project')

    expect(second.pins).toEqual([])
    expect(second.unpinned).toEqual(ALL_PINS)
  })

  test('and of one in a folder around it', async () => {
    await startIn('')

    expect((await startIn('project')).pins).toEqual([])
  })

  test.each<[what: string, move: () => void, path: string]>([
    [
      'the repository was renamed',
      () => renameSync(join(box, 'project'), join(box, 'renamed')),
      'renamed',
    ],
    [
      'it was moved into a part that is pinned',
      () => renameSync(join(box, 'project/packages'), join(box, 'project/.git/hooks/packages')),
      'project',
    ],
  ])(
    'a conversation in a folder of it is known by what it has, also when %s',
    async (_, move, path) => {
      await startIn('project/packages/one')
      move()

      const second = await startIn(path)

      expect(second.sharedWith).toEqual([join(box, 'project/packages/one')])
      expect(second.pins).toEqual([])
    },
  )

  test('tools in a folder of it move what is pinned, by a descriptor of others: so nothing is mounted there', async () => {
    const outer = await startIn('project')
    const inner = await startIn('project/packages/one')
    const giving = runAsTool(
      docker.getContainer(outer.name),
      GIVE_DESCRIPTOR,
      '/workspace/packages/one/socket',
    )

    await runAsTool(docker.getContainer(inner.name), MOVE_BY_DESCRIPTOR, '/workspace/socket')
    await giving

    expect(outer.pins).toEqual([...ALL_PINS].sort())
    expect(readdirSync(join(box, 'project/.git'))).toContain('moved')
    const third = await startIn('project')
    expect(third.pins).toEqual([])
    expect(third.unpinned).toEqual(ALL_PINS)
  })

  test.skipIf(process.getuid?.() !== 0)(
    'a conversation in a folder that is mounted in a second place is known by what it has',
    async () => {
      const alias = join(box, 'alias')
      mkdirSync(alias)
      execFileSync('mount', ['--bind', join(box, 'project/.git/hooks'), alias])
      later(() => void execFileSync('umount', [alias]))
      await startIn('alias')

      const second = await startIn('project')

      expect(second.sharedWith).toEqual([alias])
      expect(second.pins).toEqual([])
    },
  )

  test('what a container on another kernel has mounted is read in that container', async () => {
    await startIn('project')
    execFileSync('git', ['-c', 'safe.directory=*', 'config', 'user.name', 'ada'], {
      cwd: join(box, 'project'),
    })

    const second = await startIn('project', dockerEngine(onAnotherKernel(docker), image, source))

    expect(second.unpinned).toEqual(['.git/config'])
  })

  test('two that start at once, one in a folder of the other, both start', async () => {
    const [outer, inner] = await Promise.all([startIn('project'), startIn('project/packages/one')])

    // By which of them was first.
    expect(outer.pins).toEqual(outer.sharedWith?.length ? [] : [...ALL_PINS].sort())
    expect(inner.pins).toEqual([])
  })
})

/** Hands the descriptor of a folder, in which it cannot rename what is mounted, to whoever connects. */
const GIVE_DESCRIPTOR = `
import os, socket, sys
folder = os.open('/workspace/.git', os.O_RDONLY)
try: os.rename('hooks', 'moved', src_dir_fd=folder, dst_dir_fd=folder)
except OSError:
    server = socket.socket(socket.AF_UNIX)
    server.bind(sys.argv[1])
    server.listen()
    socket.send_fds(server.accept()[0], [b'x'], [folder])
`

const MOVE_BY_DESCRIPTOR = `
import os, socket, sys, time
client = socket.socket(socket.AF_UNIX)
while client.connect_ex(sys.argv[1]): time.sleep(0.01)
[folder] = socket.recv_fds(client, 1, 1)[1]
os.rename('hooks', 'moved', src_dir_fd=folder, dst_dir_fd=folder)
os.mkdir('hooks', dir_fd=folder)
`

/** Runs as a tool of a conversation, to its end. */
async function runAsTool(container: Dockerode.Container, script: string, socket: string) {
  const isRoot = process.getuid?.() === 0
  const User = isRoot ? `${TOOL_USER.uid}` : `${process.getuid?.()}`
  const Cmd = ['python3', '-c', script, socket]
  const exec = await container.exec({ Cmd, User, AttachStdout: true })
  const stream = await exec.start({})
  await once(stream.resume(), 'end')
}

/** A client whose engine names processes that are not of this machine. */
function onAnotherKernel(docker: Dockerode): Dockerode {
  const getContainer = (id: string) => {
    const container = docker.getContainer(id)
    const inspect = container.inspect.bind(container) as (options?: object) => Promise<object>
    return Object.assign(container, {
      inspect: async (options?: object) => {
        const found = (await inspect(options)) as Dockerode.ContainerInspectInfo
        return { ...found, State: { ...found.State, Pid: 1 } }
      },
    })
  }
  return Object.assign(Object.create(docker), { getContainer })
}
