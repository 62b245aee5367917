import { execFile, execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, afterEach, expect, test } from 'vitest'
import { hostOwnerLabels, sharedLabels } from '../../host/engine/owner-labels.ts'
import { holdSource, releaseSources } from '../../host/workspace/mount-source.ts'
import { pinGit } from '../../host/workspace/pin-git.ts'
import { cleanUp, later } from '../engine/engine-contract.ts'
import { startEngineProxy } from '../engine/engine-proxy.ts'
import { isFull } from '../full-size.ts'
import { describeWithEngine, uniqueName, withoutLeftovers } from '../real-engine.ts'
import { scriptPackage } from '../script-package.ts'

/** `CHAOS=full`: as often as the figures in docs/threat-model.md were measured. */
const STARTS = isFull ? 200 : 6

const hostScript = await scriptPackage('test/hostile/swap-host.ts')

/** Of what an ordinary user of this machine could not see in a workspace. */
const MARK = 'codexbox-foreign-'

/** What comes of a start in which something was moved; an image has no node where a folder lies over its programs. */
const REFUSALS = ['workspace-invalid', 'engine-unavailable', 'image-unusable']

/** What a tool tries: to read and to write whatever is mounted beside what belongs there. */
const SEARCH = `
awk '{print $5}' /proc/self/mountinfo | grep -vE '^/(proc|sys|dev)(/|$)|^/$' | while read -r at; do
  find "$at" -xdev -maxdepth 3 -type f -size -64k -exec grep -hs ${MARK} {} +
  touch "$at/written" && rm "$at/written"; echo >> "$at/found"
done 2>/dev/null
rm -f /workspace/found /workspace/.git/found; true`

interface Start {
  status: string
  error?: { code: string; message: string }
  printed: string
}

describeWithEngine('while tools of another conversation swap what a host looks at', (engine) => {
  const { docker, image, socketPath } = { ...engine, socketPath: socketOf(engine.docker) }
  const isRoot = process.getuid?.() === 0

  afterEach(cleanUp)
  afterAll(() => withoutLeftovers(docker, { label: ['codexbox.test=swap'] }))

  test.skipIf(!isRoot)(
    `${STARTS} starts of an ordinary user get nothing foreign`,
    async () => await attacked({ uid: 1000, gid: 1000 }),
    STARTS * 10_000,
  )

  test(
    `${STARTS} starts of ${isRoot ? 'root' : 'this user'} get nothing foreign`,
    async () => await attacked({ uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 }),
    STARTS * 10_000,
  )

  async function attacked(user: { uid: number; gid: number }) {
    const scene = layOut(user)
    const proxy = await startEngineProxy(socketPath)
    later(() => proxy.close())
    // For another user, too.
    chmodSync(dirname(proxy.socketPath), 0o755)
    chmodSync(proxy.socketPath, 0o666)
    const starts: Start[] = []
    const moves: string[] = []
    // One that began before there was anything to pin, and one with all that is pinned.
    for (const isPinned of [false, true]) {
      const attacker = await startAttacker(scene, isPinned)
      starts.push(...(await startsOf(user, scene, proxy.socketPath, STARTS / 2)))
      moves.push(...(await attacker.stop()))
    }
    const honest = await startsOf(user, scene, proxy.socketPath, 2)

    console.log(`${STARTS} starts, ${moves.length} attacks: ${counted(starts)}`)
    if (process.env.SWAP_VERBOSE)
      console.log(
        moves.join('\n'),
        starts.map(({ status, error, printed }) => [
          status,
          error?.message,
          printed.includes(scene.canary),
        ]),
      )
    expect(starts.filter(({ printed }) => printed.includes(scene.canary))).toEqual([])
    expect(readdirSync(scene.foreign)).toEqual(['secret'])
    expect(readFileSync(join(scene.foreign, 'secret'), 'utf8')).toBe(`${scene.canary}\n`)
    // Where its program was run in the place of ours, also in a start that was refused.
    expect(existsSync(join(scene.workspace, '.a/ran'))).toBe(false)
    expect(starts).toHaveLength(STARTS)
    // It was there, and did what it could.
    expect(moves.length).toBeGreaterThan(isFull ? STARTS / 3 : 0)
    for (const { status, error } of starts) {
      if (status !== 'done') expect(REFUSALS).toContain(error?.code)
    }
    expect(honest.map(({ status }) => status)).toEqual(['done', 'done'])
  }

  interface Scene {
    box: string
    workspace: string
    foreign: string
    canary: string
    dataDir: string
    user: { uid: number; gid: number }
  }

  function layOut(user: { uid: number; gid: number }): Scene {
    const box = realpathSync(mkdtempSync(join(tmpdir(), 'codexbox-swap-')))
    later(() => rmSync(box, { recursive: true, force: true }))
    const [workspace, foreign, dataDir] = ['work', 'foreign', 'data'].map((name) =>
      join(box, name),
    ) as [string, string, string]
    for (const folder of [foreign, dataDir]) mkdirSync(folder, { mode: 0o700 })
    // Open to an agent that is not ours.
    mkdirSync(workspace, { mode: 0o755 })
    const canary = MARK + randomBytes(8).toString('hex')
    writeFileSync(join(foreign, 'secret'), `${canary}\n`, { mode: 0o600 })
    execFileSync('git', ['init', '-q', workspace])
    mkdirSync(join(workspace, '.git/modules'))
    mkdirSync(join(workspace, '.git/worktrees'))
    if (isRoot) execFileSync('chown', ['-R', `${user.uid}:${user.gid}`, box])
    return { box, workspace, foreign, canary, dataDir, user }
  }

  async function startsOf(
    user: { uid: number; gid: number },
    { workspace, dataDir, box }: Scene,
    engineSocket: string,
    starts: number,
  ): Promise<Start[]> {
    const options = JSON.stringify({ workspace, dataDir, image, starts, command: SEARCH })
    const as = isRoot
      ? ['setpriv', `--reuid=${user.uid}`, `--regid=${user.gid}`, '--clear-groups']
      : []
    const [command = '', ...args] = [...as, process.execPath, hostScript, options]
    const env = { PATH: process.env.PATH, HOME: box, DOCKER_HOST: `unix://${engineSocket}` }
    const { stdout } = await promisify(execFile)(command, args, { env, maxBuffer: 2 ** 30 })
    return stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
  }

  /** With what tools of a conversation have of the workspace. */
  async function startAttacker({ workspace, foreign, user }: Scene, isPinned: boolean) {
    const held = holdSource(workspace)
    const pins = isPinned ? pinGit(held) : []
    later(() => releaseSources([held, ...pins]))
    const shared = { workspace, identity: held.identity, pins: pins.map(({ at }) => at) }
    const script = readFileSync(new URL('swap-attacker.py', import.meta.url), 'utf8')
    const container = await docker.createContainer({
      name: uniqueName('attacker'),
      Image: image,
      Entrypoint: ['python3', '-c', script, '/workspace', foreign, join(foreign, 'secret')],
      User: `${user.uid}:${user.gid}`,
      Labels: { ...hostOwnerLabels(), ...sharedLabels(shared), 'codexbox.test': 'swap' },
      Tty: true,
      AttachStdout: true,
      HostConfig: {
        NetworkMode: 'none',
        CapDrop: ['ALL'],
        Mounts: [
          { Type: 'bind', Source: workspace, Target: '/workspace' },
          ...pins.map(({ path, at, readOnly }) => ({
            Type: 'bind' as const,
            Source: path,
            Target: `/workspace/${at}`,
            ReadOnly: readOnly,
          })),
        ],
      },
    })
    later(() => container.remove({ force: true, v: true }).catch(() => {}))
    const output = await container.attach({ stream: true, stdout: true, stderr: true })
    let text = ''
    output.on('data', (chunk) => {
      text += chunk
    })
    await container.start()
    return {
      async stop(): Promise<string[]> {
        const ended = once(output, 'end')
        await container.kill()
        await ended
        return text.split(/\r?\n/).filter(Boolean)
      },
    }
  }
})

function counted(starts: Start[]): string {
  const counts = new Map<string, number>()
  for (const { status, error } of starts) {
    const how = error ? `${status} (${error.code}: ${error.message})` : status
    counts.set(how, (counts.get(how) ?? 0) + 1)
  }
  return [...counts].map(([how, count]) => `${count} ${how}`).join(', ')
}

function socketOf(docker: { modem: unknown }): string {
  return (docker.modem as { socketPath: string }).socketPath
}
