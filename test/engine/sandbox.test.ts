import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { dockerEngine } from '../../host/engine/docker-engine.ts'
import { describeWithEngine, withoutLeftovers } from '../real-engine.ts'
import { cleanUp, startAgent, until } from './engine-contract.ts'

/** What can be seen of one process from another. */
interface Seen {
  uid: number
  cmdline: string
  /** Of processes that are not the tools' own, what came of trying: `opened`, or the code of the refusal. */
  tries?: Record<string, string>
  /** Of the tools' own processes: whether the capability, or something that is known to be there, is in memory. */
  memory?: { capability: boolean; control: boolean }
}

describeWithEngine('from inside the container, a tool', ({ docker, image, source, isPodman }) => {
  let inside: Awaited<ReturnType<typeof startAgent>>

  beforeAll(async () => {
    inside = await startAgent(dockerEngine(docker, image, source))
  })
  afterAll(async () => {
    await cleanUp()
    await withoutLeftovers(docker, { label: [`codexbox.pid=${process.pid}`] })
  })

  /** What `command` prints when a tool runs it. */
  async function shell(command: string): Promise<string> {
    inside.begin(`run: { ${command}\n} > /workspace/.printed 2>&1`)
    // Where the run failed, that is to be told, and not that there is no such file.
    expect(await until(inside.events, 'finished')).toMatchObject({ status: 'done' })
    const file = join(inside.workspace, '.printed')
    const printed = readFileSync(file, 'utf8')
    rmSync(file)
    return printed.trim()
  }

  test('is said to run as another user than the agent, and does', async () => {
    const isolated = until(inside.events, 'started')
    const ids = await shell('id -u; id -g; id -G')

    expect((await isolated).toolsIsolated).toBe(true)
    const { uid, gid } = inside.user
    expect(ids.split('\n')).toEqual([`${uid}`, `${gid}`, `${gid}`])
  })

  test('has no capability and gains none', async () => {
    const status = await shell(
      'grep -E "^(Cap(Inh|Prm|Eff|Amb)|NoNewPrivs|Seccomp):" /proc/self/status',
    )

    expect(Object.fromEntries(status.split('\n').map((line) => line.split(':\t')))).toEqual({
      CapInh: expect.stringMatching(/^0+$/),
      CapPrm: expect.stringMatching(/^0+$/),
      CapEff: expect.stringMatching(/^0+$/),
      CapAmb: expect.stringMatching(/^0+$/),
      NoNewPrivs: '1',
      Seccomp: '2',
    })
  })

  // In one it has a table of mounts of its own, and can rename what is pinned in the container's.
  test('cannot make a place of its own with more rights, by any of the system calls', async () => {
    expect(await shell('unshare --user --map-root-user true || echo refused')).toMatch(/refused$/)
    expect(await shell(`python3 -c '${NEW_USER_NAMESPACE}'`)).toBe('refused refused')
  })

  test('does not reach the keys of its user on the host', async () => {
    expect(await shell(`python3 -c '${USER_KEYRING}'`)).toBe('refused')
  })

  test('finds neither the capability nor a way to agent and worker in any process', async () => {
    const processes = await lookAtProcesses()
    const ofRoot = processes.filter(({ uid }) => uid === 0)
    const [worker] = processes.filter(({ cmdline }) => cmdline.includes('agent.cjs worker'))
    const ofTools = processes.filter(({ uid }) => uid === inside.user.uid)
    const closed = {
      environ: 'EACCES',
      mem: 'EACCES',
      fd: 'EACCES',
      'fd/0': 'EACCES',
      'fd/1': 'EACCES',
    }

    // The init process and the agent; both hold the agent's pipes.
    const agent = 'node /opt/codexbox/agent.cjs agent /run/codexbox/gateway.sock'
    expect(ofRoot.map(({ cmdline }) => /node \/opt\S+ agent \S+/.exec(cmdline)?.[0])).toEqual([
      agent,
      agent,
    ])
    for (const { tries } of ofRoot) {
      expect(tries).toEqual({ ...closed, SIGUSR1: 'EPERM', SIGKILL: 'EPERM' })
    }
    expect(worker).toMatchObject({ uid: inside.user.uid, tries: closed })
    expect(JSON.stringify(processes)).not.toContain(inside.capability)
    const scanned = ofTools.flatMap(({ memory }) => memory ?? [])
    expect(scanned.map(({ capability }) => capability)).not.toContain(true)
    // Some kernels forbid the look into one's own other processes; where it was had, it can see.
    if (scanned.length > 0) expect(scanned.map(({ control }) => control)).toContain(true)
  })

  test('can reach the gateway and gets nothing from it without the capability', async () => {
    const answer = await shell(
      `curl -sS --unix-socket /run/codexbox/gateway.sock -d '{}' http://gateway/v1/responses`,
    )

    expect(JSON.parse(answer).error.code).toBe('capability_refused')
  })

  test('has no network but itself', async () => {
    expect(await shell('ls /sys/class/net; cat /proc/net/route | tail -n +2')).toBe('lo')
  })

  test('can write to the workspace, to /tmp, to its home and to shared memory only', async () => {
    const folders = await shell(
      'find / -path /proc -prune -o -type d -writable -print -prune 2>/dev/null',
    )

    const ofTheKernel = ['/dev/mqueue', '/dev/shm']
    expect(
      folders
        .split('\n')
        .filter((folder) => !ofTheKernel.includes(folder))
        .sort(),
      // Podman puts one more in memory.
    ).toEqual(['/home/agent', '/tmp', ...(isPodman ? ['/var/tmp'] : []), '/workspace'])
  })

  test('has a read-only file system, also for root, and no set-user-id in what it can write', async () => {
    const mounts = await shell('cat /proc/mounts')

    const options = new Map(
      mounts.split('\n').map((line) => {
        const [, target = '', , given = ''] = line.split(' ')
        return [target, given.split(',')]
      }),
    )
    for (const target of ['/', '/opt/codexbox/agent.cjs', '/run/codexbox', '/sys', '/proc/sys']) {
      expect(options.get(target), target).toContain('ro')
    }
    for (const target of ['/tmp', '/home/agent', '/dev/shm']) {
      expect(options.get(target), target).toEqual(expect.arrayContaining(['nosuid', 'nodev']))
    }
  })

  test.each([
    '/file',
    '/usr/bin/file',
    '/etc/file',
    '/opt/codexbox/agent.cjs',
    '/run/codexbox/file',
    '/run/codexbox/gateway.sock',
    '/proc/sys/kernel/core_pattern',
  ])('cannot write %s', async (path) => {
    expect(await shell(`(echo x >> ${path}) 2>/dev/null || echo refused`)).toBe('refused')
  })

  test('cannot remove or replace the socket', async () => {
    expect(
      await shell('rm -f /run/codexbox/gateway.sock || mv /run/codexbox /run/x || echo refused'),
    ).toMatch(/refused$/)
  })

  test.each(['/tmp', '/home/agent', '/workspace'])('can run a program from %s', async (folder) => {
    const printed = await shell(
      `printf '#!/bin/sh\\necho it runs\\n' > ${folder}/program; chmod +x ${folder}/program; ${folder}/program`,
    )

    expect(printed).toBe('it runs')
  })

  test('leaves no core file, and cannot ask for one', async () => {
    expect(await shell('ulimit -Sc; ulimit -Hc; ulimit -c unlimited || echo refused')).toMatch(
      /^0\n0\n.*refused$/s,
    )
    expect(
      await shell(
        "cd /workspace; (sh -c 'kill -ABRT $$'); ls -A /workspace | grep -i core || echo none",
      ),
    ).toMatch(/none$/)
  })

  test('sees no socket of the engine and no environment of the host', async () => {
    expect(
      await shell('ls /var/run/docker.sock /run/docker.sock 2>/dev/null; env | cut -d= -f1 | sort'),
    ).toBe(
      [
        'GIT_TERMINAL_PROMPT',
        'HOME',
        'HOSTNAME',
        'LANG',
        'LOGNAME',
        'PAGER',
        'PATH',
        'PWD',
        'SHLVL',
        'USER',
        '_',
      ].join('\n'),
    )
  })

  async function lookAtProcesses(): Promise<Seen[]> {
    writeFileSync(join(inside.workspace, 'look.cjs'), LOOK)
    // Backwards, so that looking does not put it where it is looked for.
    const backwards = [...inside.capability].reverse().join('')
    return JSON.parse(await shell(`node /workspace/look.cjs ${backwards}`))
  }
})

/** Runs as a tool: tries all that was ever used to get at the agent. */
const LOOK = `
const fs = require('node:fs')
const backwards = process.argv[2]
const capability = [...backwards].reverse().join('')

const outcome = (act) => {
  try { act(); return 'opened' } catch (error) { return error.code }
}
const memoryHas = (pid) => {
  let fd
  try { fd = fs.openSync('/proc/' + pid + '/mem', 'r') } catch { return undefined }
  const has = { capability: false, control: false }
  for (const line of fs.readFileSync('/proc/' + pid + '/maps', 'utf8').split('\\n')) {
    const range = /^([0-9a-f]+)-([0-9a-f]+) rw/.exec(line)
    if (!range) continue
    const start = parseInt(range[1], 16)
    const piece = Buffer.alloc(parseInt(range[2], 16) - start)
    try { fs.readSync(fd, piece, 0, piece.length, start) } catch { continue }
    if (piece.includes(capability)) has.capability = true
    if (piece.includes(backwards)) has.control = true
  }
  return has
}

const processes = []
for (const pid of fs.readdirSync('/proc').filter((name) => /^\\d+$/.test(name))) {
  if (Number(pid) === process.pid) continue
  const at = '/proc/' + pid
  try {
    const seen = { uid: fs.statSync(at).uid, cmdline: fs.readFileSync(at + '/cmdline', 'utf8').replaceAll('\\0', ' ').trim() }
    const { O_RDONLY, O_WRONLY, O_NONBLOCK } = fs.constants
    const isWorker = seen.cmdline.includes('agent.cjs worker')
    if (seen.uid === 0 || isWorker) {
      seen.tries = {
        environ: outcome(() => fs.readFileSync(at + '/environ')),
        mem: outcome(() => fs.openSync(at + '/mem', 'r')),
        fd: outcome(() => fs.readdirSync(at + '/fd')),
        'fd/0': outcome(() => fs.openSync(at + '/fd/0', O_RDONLY | O_NONBLOCK)),
        'fd/1': outcome(() => fs.openSync(at + '/fd/1', O_WRONLY | O_NONBLOCK)),
      }
      // A worker is of the tool's own user, and would be gone.
      if (!isWorker) for (const signal of ['SIGUSR1', 'SIGKILL']) {
        seen.tries[signal] = outcome(() => process.kill(Number(pid), signal))
      }
    } else {
      seen.environ = fs.readFileSync(at + '/environ', 'utf8')
      seen.memory = memoryHas(pid)
    }
    processes.push(seen)
  } catch (error) {
    if (error.code !== 'ENOENT' && error.code !== 'ESRCH') throw error
  }
}
console.log(JSON.stringify(processes))
`

const SYSTEM_CALL = `
import ctypes, os, platform
libc = ctypes.CDLL(None, use_errno=True)
isArm = platform.machine() == "aarch64"
def call(arm, intel, *args): return libc.syscall(arm if isArm else intel, *args)
`

/** clone(2), and clone3(2) with the same flags. A child that came to be ends at once. */
const NEW_USER_NAMESPACE = `${SYSTEM_CALL}
flags = 0x10000000 | 17
def answer(child):
    if child == 0: os._exit(0)
    return "refused" if child < 0 else "made"
print(answer(call(220, 56, flags, 0, 0, 0, 0)), answer(call(435, 435, (ctypes.c_uint64 * 11)(0x10000000, 0, 0, 0, 17), 88)))
`

/** keyctl(2), KEYCTL_GET_KEYRING_ID of KEY_SPEC_USER_KEYRING. */
const USER_KEYRING = `${SYSTEM_CALL}
print("refused" if call(219, 250, 0, -4, 1) < 0 else "reached")
`
