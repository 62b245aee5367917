import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chownSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Dockerode from 'dockerode'
import { afterEach, describe, expect, test } from 'vitest'
import { dockerEngine } from '../../host/engine/docker-engine.ts'
import {
  askIfRootless,
  type EngineInfo,
  optionsForRootless,
  unboundedError,
} from '../../host/engine/rootless.ts'
import { containerOptions } from '../../host/engine/sandbox-policy.ts'
import { inspectTools } from '../../host/engine/tools-image.ts'
import { someSource } from '../fakes/container-script.ts'
import { cleanUp, later } from './engine-contract.ts'

afterEach(cleanUp)

const isRoot = process.getuid?.() === 0
const OWNER = isRoot ? 23_456 : (process.getuid?.() ?? 0)

const spec = {
  name: 'codexbox-1',
  agentFile: '/opt/agent.cjs',
  workspace: someSource('/home/me/project'),
  socketFolder: '/tmp/codexbox-abc/s',
  network: 'none' as const,
  user: { uid: OWNER, gid: OWNER },
}
const usual = containerOptions(spec, 'image:1')
const options = optionsForRootless(usual)

describe('an engine', () => {
  test.each<[what: string, info: EngineInfo, kind: string | undefined]>([
    ['Podman as it says so', { SecurityOptions: ['name=seccomp'], Rootless: true }, 'podman'],
    [
      'newer Podman',
      { SecurityOptions: ['name=seccomp', 'name=rootless'], Rootless: true },
      'podman',
    ],
    ['Docker as it says so', { SecurityOptions: ['name=seccomp', 'name=rootless'] }, 'docker'],
    ['Podman that is not', { SecurityOptions: [], Rootless: false }, undefined],
    ['Docker that is not', { SecurityOptions: ['name=seccomp,profile=default'] }, undefined],
    ['one that says nothing', { SecurityOptions: null }, undefined],
  ])('that is rootless is told by its word: %s', async (_, info, kind) => {
    const { docker } = await anEngine(info)

    expect(await askIfRootless(docker)).toEqual(kind && { kind, uid: OWNER })
  })

  test.runIf(isRoot)('of root is told by its socket, and not asked', async () => {
    const { docker, asked } = await anEngine({ Rootless: true }, 0)

    expect(await askIfRootless(docker)).toBeUndefined()
    expect(asked).toEqual([])
  })

  test('that is rootless Docker is refused, with what to use in its place', async () => {
    const { docker } = await anEngine({ SecurityOptions: ['name=rootless'] })
    const engine = dockerEngine(docker, 'image:1', 'the test')

    for (const attempt of [() => engine.check(), () => engine.start(spec)]) {
      await expect(attempt()).rejects.toMatchObject({
        code: 'engine-unavailable',
        message: expect.stringMatching(/the test.*rootless Docker.*Use rootless Podman or/),
      })
    }
  })

  test("that is another user's is refused before anything is made", async () => {
    const { docker, asked } = await anEngine({ Rootless: true })
    const user = { uid: OWNER + 1, gid: OWNER + 1 }

    const started = dockerEngine(docker, 'image:1', 'the test').start({ ...spec, user })

    await expect(started).rejects.toMatchObject({
      code: 'engine-unavailable',
      message: expect.stringMatching(`of user ${OWNER}; .* as user ${OWNER + 1}`),
    })
    expect(asked).toEqual(['/info'])
  })
})

test('an engine whose runtime cannot do with the cgroups is not mistaken for a bad image', async () => {
  const said = 'crun: cgroups in hybrid mode not supported'
  const { docker } = await anEngine({}, OWNER, said)

  await expect(inspectTools(docker, 'image:1')).rejects.toMatchObject({
    code: 'engine-unavailable',
    message: expect.stringMatching(`could not start a container of image:1: .*${said}`),
  })
})

describe('the container on rootless Podman', () => {
  test('has its user by the same number, and all else of the policy that is no limit of a process', () => {
    const { Ulimits: _, ...kept } = usual.HostConfig

    expect(options.HostConfig).toEqual({ ...kept, UsernsMode: 'keep-id' })
  })

  test('runs the same command, bounded', () => {
    const { status, stdout } = start({ 'pids.max': '512', 'memory.max': '2147483648' })

    expect({ status, stdout }).toEqual({ status: 0, stdout: '/opt/codexbox/agent.cjs 0 0 4096\n' })
  })

  test.each<[what: string, files: Record<string, string>]>([
    ['no cgroup v2', {}],
    ['processes without end', { 'pids.max': 'max', 'memory.max': '2147483648' }],
    ['memory without end', { 'pids.max': '512', 'memory.max': 'max' }],
    ['more memory than was asked for', { 'pids.max': '512', 'memory.max': '4294967296' }],
    ['processes that nobody counts', { 'memory.max': '2147483648' }],
  ])('leaves with %s, and it is said what is missing', (_, files) => {
    const { status, stdout, stderr } = start(files)

    expect({ status, stdout }).toEqual({ status: 1, stdout: '' })
    expect(unboundedError(stderr, 'the test')).toMatchObject({
      code: 'engine-unavailable',
      message: expect.stringMatching(/without the limits.*cgroup v2.*Delegate=/),
    })
  })
})

/** What the container would start first, here, with a folder in the place of its cgroup's. */
function start(files: Record<string, string>) {
  const folder = mkdtempSync(join(tmpdir(), 'codexbox-cgroup-'))
  later(() => rmSync(folder, { recursive: true }))
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), `${text}\n`)
  writeFileSync(
    join(folder, 'node'),
    '#!/bin/bash\necho "$1 $(ulimit -Sc) $(ulimit -Hc) $(ulimit -n)"\n',
    { mode: 0o755 },
  )
  const [bash = '', ...words] = options.Entrypoint ?? []
  const here = words.map((word) => word.replaceAll('/sys/fs/cgroup', folder))
  return spawnSync(bash, [...here, ...(options.Cmd ?? [])], {
    encoding: 'utf8',
    env: { ...process.env, PATH: `${folder}:${process.env.PATH}` },
  })
}

/** Answers what it is asked for about itself, at a socket of a user's. Attaching fails with `refusal`. */
async function anEngine(info: EngineInfo, uid = OWNER, refusal?: string) {
  const asked: (string | undefined)[] = []
  const server = http.createServer(({ url }, response) => {
    asked.push(url)
    response.setHeader('content-type', 'application/json')
    if (refusal && url?.includes('/attach')) {
      response.writeHead(409).end(JSON.stringify({ message: refusal }))
      return
    }
    if (url?.startsWith('/containers/create')) response.statusCode = 201
    response.end(url === '/_ping' ? 'OK' : JSON.stringify(url === '/info' ? info : { Id: 'a' }))
  })
  const folder = mkdtempSync(join(tmpdir(), 'codexbox-rootless-'))
  const socketPath = join(folder, 'docker.sock')
  server.listen(socketPath)
  await once(server, 'listening')
  later(() => {
    server.close()
    server.closeAllConnections()
    rmSync(folder, { recursive: true, force: true })
  })
  if (isRoot) chownSync(socketPath, uid, uid)
  return { docker: new Dockerode({ socketPath }), asked }
}
