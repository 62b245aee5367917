import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, describe, expect, test } from 'vitest'
import { dockerEngine } from '../../host/engine/docker-engine.ts'
import { describeWithEngine, withoutLeftovers } from '../real-engine.ts'
import { cleanUp, engineOfRoot, startAgent, until } from './engine-contract.ts'

describeWithEngine('the process that runs the tools', ({ docker, image, source, isRootless }) => {
  const usual = dockerEngine(docker, image, source)
  const isRoot = process.getuid?.() === 0 && !isRootless

  afterEach(cleanUp)
  afterAll(() => withoutLeftovers(docker, { label: [`codexbox.pid=${process.pid}`] }))

  describe.each([
    ['of an ordinary user', usual],
    ...(isRoot ? [['of root', engineOfRoot(usual)] as const] : []),
  ] as const)('in a workspace %s', (_, engine) => {
    /** What the script prints when a tool runs it. */
    async function printed(script: string): Promise<string> {
      const { begin, events, workspace } = await startAgent(engine)
      writeFileSync(join(workspace, 'script.py'), script)
      begin('run: python3 script.py > .printed 2>&1')
      expect(await until(events, 'finished')).toMatchObject({ status: 'done' })
      return readFileSync(join(workspace, '.printed'), 'utf8')
    }

    test('is of the user of the tools, but none of them can look into it or write to it', async () => {
      const { worker, bait, owner } = JSON.parse(await printed(FIND_WORKER + REACH))

      expect(owner.worker).toEqual(owner.tool)
      expect(worker).toEqual({
        environ: 'EACCES',
        maps: 'EACCES',
        mem: 'EACCES',
        'mem to write': 'EACCES',
        'where fd/1 leads': 'EACCES',
        'fd/0': 'EACCES',
        'fd/1': 'EACCES',
        'fd/2': 'EACCES',
        process_vm_readv: 'EPERM',
        process_vm_writev: 'EPERM',
        PTRACE_ATTACH: 'EPERM',
        PTRACE_SEIZE: 'EPERM',
      })
      // The same ways lead into a process of a tool's own; two are closed to all by some engines.
      const closed = expect.stringMatching(/^(done|EPERM|ENOSYS)$/)
      const leads = { process_vm_readv: closed, process_vm_writev: closed }
      const ways = Object.fromEntries(Object.keys(worker).map((way) => [way, 'done']))
      expect(bait).toEqual({ ...ways, ...leads })
    })

    test('has no thread left of the user it was, and no right', async () => {
      const threads = JSON.parse(await printed(FIND_WORKER + THREADS))

      const { uid } = threads.tool
      expect(threads.worker.length).toBeGreaterThan(4)
      for (const thread of threads.worker) {
        expect(thread).toMatchObject({ Uid: Array(4).fill(uid), Groups: [] })
        expect(thread.Gid.slice(0, 2)).toEqual(Array(2).fill(threads.tool.gid))
        for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapAmb']) {
          expect(thread[set]).toEqual(['0000000000000000'])
        }
      }
    })

    test('leaves the tools as they were: no right, no other group, open to themselves', async () => {
      const { own } = JSON.parse(await printed(FIND_WORKER + OWN))

      expect(own).toEqual({
        uids: Array(3).fill(own.uids[0]),
        gids: Array(3).fill(own.gids[0]),
        groups: expect.toSatisfy((groups) => [0, 1].includes(groups.length)),
        rights: ['0000000000000000', '0000000000000000', '0000000000000000', '0000000000000000'],
        isOpen: true,
        files: ['0', '1', '2'],
      })
    })
  })
})

const FIND_WORKER = `
import ctypes, errno, json, os, subprocess, sys
read = lambda path: open(path).read()
def worker():
    for pid in (int(name) for name in os.listdir('/proc') if name.isdigit()):
        try: words = read('/proc/%d/cmdline' % pid).split('\\0')
        except OSError: continue
        if 'worker' in words and words[1].endswith('agent.cjs'): return pid
WORKER = worker()
`

const REACH = `
libc = ctypes.CDLL(None, use_errno=True)
class IoVec(ctypes.Structure):
    _fields_ = [('base', ctypes.c_void_p), ('len', ctypes.c_size_t)]
def outcome(act):
    try: act()
    except OSError as error: return errno.errorcode[error.errno]
    return 'done'
def called(result):
    if result < 0: raise OSError(ctypes.get_errno(), '')
def reach(pid, at):
    root = '/proc/%d/' % pid
    opened = lambda name, how: outcome(lambda: os.close(os.open(root + name, how | os.O_NONBLOCK)))
    buffer = ctypes.create_string_buffer(1)
    vectors = lambda: (ctypes.byref(IoVec(ctypes.addressof(buffer), 1)), 1, ctypes.byref(IoVec(at, 1)), 1, 0)
    def traced(request):
        called(libc.ptrace(request, pid, 0, 0))
        if request == 16: os.waitpid(pid, 0x40000000)
        libc.ptrace(17, pid, 0, 0)
    return {
        'environ': opened('environ', os.O_RDONLY),
        'maps': opened('maps', os.O_RDONLY),
        'mem': opened('mem', os.O_RDONLY),
        'mem to write': opened('mem', os.O_WRONLY),
        'where fd/1 leads': outcome(lambda: os.readlink(root + 'fd/1')),
        'fd/0': opened('fd/0', os.O_RDONLY),
        'fd/1': opened('fd/1', os.O_WRONLY),
        'fd/2': opened('fd/2', os.O_WRONLY),
        'process_vm_readv': outcome(lambda: called(libc.process_vm_readv(pid, *vectors()))),
        'process_vm_writev': outcome(lambda: called(libc.process_vm_writev(pid, *vectors()))),
        'PTRACE_ATTACH': outcome(lambda: traced(16)),
        'PTRACE_SEIZE': outcome(lambda: traced(0x4206)),
    }
mine = ctypes.create_string_buffer(1)
bait = os.fork()
if bait == 0:
    for fd in (0, 1, 2): os.dup2(os.open('/dev/null', os.O_RDWR), fd)
    while True: ctypes.CDLL(None).pause()
found = {
    # What was there before the fork is there in it.
    'bait': reach(bait, ctypes.addressof(mine)),
    'worker': reach(WORKER, ctypes.addressof(mine)),
    'owner': { 'tool': os.getuid(), 'worker': int(read('/proc/%d/status' % WORKER).split('Uid:\\t')[1].split()[0]) },
}
os.kill(bait, 9)
print(json.dumps(found))
`

const THREADS = `
def thread(path):
    found = { name: text.split() for name, text in (line.split(':', 1) for line in read(path).splitlines()) }
    numbers = lambda name: [int(word) for word in found[name]]
    return { **{ name: found[name] for name in ('CapInh', 'CapPrm', 'CapEff', 'CapAmb') }, 'Uid': numbers('Uid'), 'Gid': numbers('Gid'), 'Groups': numbers('Groups') }
at = '/proc/%d/task/' % WORKER
print(json.dumps({ 'tool': { 'uid': os.getuid(), 'gid': os.getgid() }, 'worker': [thread(at + tid + '/status') for tid in os.listdir(at)] }))
`

const OWN = `
status = dict(line.split(':\\t', 1) for line in read('/proc/self/status').splitlines() if ':\\t' in line)
files = [fd for fd in os.listdir('/proc/self/fd') if os.path.exists('/proc/self/fd/' + fd)]
print(json.dumps({ 'own': {
    'uids': os.getresuid(), 'gids': os.getresgid(), 'groups': os.getgroups(),
    'rights': [status['Cap' + of] for of in ('Inh', 'Prm', 'Eff', 'Amb')],
    'isOpen': os.stat('/proc/self/status').st_uid == os.getuid(),
    'files': sorted(files),
} }))
`
