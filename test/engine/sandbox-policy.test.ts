import { expect, test } from 'vitest'
import type { AgentSpec } from '../../host/engine/engine.ts'
import { containerOptions, inside } from '../../host/engine/sandbox-policy.ts'
import { thisProcess } from '../../host/storage/process-identity.ts'
import { someSource } from '../fakes/container-script.ts'

/** The paths are such as people have them. */
const spec: AgentSpec = {
  name: 'codexbox-1',
  agentFile: '/opt/our package/agent.cjs',
  workspace: someSource('/home/me/a:b, c=d/工作'),
  socketFolder: '/tmp/codexbox-abc/s',
  network: 'none',
  user: { uid: 1000, gid: 1000 },
}
const MiB = 1024 * 1024
const options = containerOptions(spec, 'image:1')

/** What is promised, by what keeps the promise. */
const hostPolicy: [promise: string, setting: string, value: unknown][] = [
  ['it has no capability', 'CapDrop', ['ALL']],
  ['but to start and end the tools as somebody else', 'CapAdd', ['SETUID', 'SETGID', 'KILL']],
  ['nothing in it gains rights', 'SecurityOpt', ['no-new-privileges']],
  ['it has no network', 'NetworkMode', 'none'],
  ['its file system is read-only', 'ReadonlyRootfs', true],
  [
    'but for a /tmp and a home in memory, from which programs can run',
    'Tmpfs',
    {
      '/tmp': 'rw,exec,nosuid,nodev,size=512m,mode=1777',
      '/home/agent': 'rw,exec,nosuid,nodev,size=256m,mode=1777',
      '/run': 'ro,noexec,nosuid,nodev,size=1m,mode=755',
    },
  ],
  ['what tools leave behind is reaped', 'Init', true],
  ['a fork bomb ends at a number', 'PidsLimit', 512],
  ['memory ends at a number', 'Memory', 2048 * MiB],
  ['and swap adds nothing to it', 'MemorySwap', 2048 * MiB],
  ['it takes two processors and no more, also where there are fewer', 'CpuQuota', 200_000],
  ['in each tenth of a second', 'CpuPeriod', 100_000],
  [
    'there are no core files, and files to be open at once end at a number',
    'Ulimits',
    [
      { Name: 'core', Soft: 0, Hard: 0 },
      { Name: 'nofile', Soft: 4096, Hard: 4096 },
    ],
  ],
  ['it dies before the host does', 'OomScoreAdj', 500],
  ['nothing that is printed goes to the disk', 'LogConfig', { Type: 'none', Config: {} }],
  ['its cgroups are its own', 'CgroupnsMode', 'private'],
  ['its shared memory is its own', 'IpcMode', 'private'],
  ['and goes with its processes', 'Sysctls', { 'kernel.shm_rmid_forced': '1' }],
  ['the engine removes it, also when we are gone', 'AutoRemove', true],
  ['and does not start it again', 'RestartPolicy', { Name: 'no' }],
]

test.each(hostPolicy)('%s: %s', (_, setting, value) => {
  expect(options.HostConfig[setting as keyof typeof options.HostConfig]).toEqual(value)
})

test('there is no setting that nobody promised: no Binds, Privileged, PidMode, Devices, …', () => {
  const promised = [...hostPolicy.map(([, setting]) => setting), 'Mounts']

  expect(Object.keys(options.HostConfig).sort()).toEqual(promised.sort())
})

test('the rest of it is this, whoever asks, and holds no secret', () => {
  const { HostConfig: _, Labels, ...rest } = options

  expect(rest).toEqual({
    name: 'codexbox-1',
    Image: 'image:1',
    Entrypoint: ['node'],
    Cmd: [
      '/opt/codexbox/agent.cjs',
      'agent',
      '/run/codexbox/gateway.sock',
      '1000',
      '1000',
      '/workspace',
      '/opt/codexbox/agent.cjs',
      '/run/codexbox',
      '/etc/passwd',
      '/etc/group',
    ],
    User: '0:0',
    WorkingDir: '/',
    Env: [
      'HOME=/home/agent',
      'LANG=C.UTF-8',
      'GIT_TERMINAL_PROMPT=0',
      'PAGER=cat',
      'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    ],
    UnsetEnvAll: true,
    Healthcheck: { Test: ['NONE'] },
    OpenStdin: true,
    StdinOnce: true,
    AttachStdin: true,
    AttachStdout: true,
    AttachStderr: true,
    Tty: false,
    StopSignal: 'SIGTERM',
    StopTimeout: 5,
  })
  expect(Labels).toEqual({
    'codexbox.managed': '1',
    'codexbox.host': thisProcess().host,
    'codexbox.pid': String(process.pid),
    'codexbox.pid-start': expect.any(String),
    'codexbox.workspace': '/home/me/a:b, c=d/工作',
    'codexbox.workspace-identity': '0:0',
    'codexbox.pins': '',
  })
})

test('the workspace can be written, the script and the socket only be read', () => {
  expect(options.HostConfig.Mounts).toEqual([
    aMount('/home/me/a:b, c=d/工作', '/workspace', false),
    aMount('/opt/our package/agent.cjs', '/opt/codexbox/agent.cjs', true),
    aMount('/tmp/codexbox-abc/s', '/run/codexbox', true),
    aMount('/tmp/codexbox-abc/s/passwd', '/etc/passwd', true),
    aMount('/tmp/codexbox-abc/s/group', '/etc/group', true),
  ])
})

test('what an image declares as volumes is in memory, and takes the place of nothing of ours', () => {
  const volumes = [
    '/data/',
    '/a/../cache',
    '/workspace',
    '/workspace/',
    '/tmp',
    '/run',
    '/home/agent',
  ]
  const { HostConfig } = containerOptions(spec, 'image:1', { volumes, environment: [] })

  const inMemory = 'rw,exec,nosuid,nodev,size=262144k,mode=1777'
  expect(HostConfig).toEqual({
    ...options.HostConfig,
    Tmpfs: { '/data': inMemory, '/cache': inMemory, ...options.HostConfig.Tmpfs },
  })
})

test.each([
  [4, 262_144],
  [5, 209_715],
  [5000, 209],
])('%i volumes together are half of the memory that there is, with %i kB each', (count, size) => {
  const volumes = Array.from({ length: count }, (_, index) => `/volume-${index}`)
  const { HostConfig } = containerOptions(spec, 'image:1', { volumes, environment: [] })

  expect(HostConfig.Tmpfs?.['/volume-0']).toBe(`rw,exec,nosuid,nodev,size=${size}k,mode=1777`)
})

test('without a gateway there is no socket, and none is connected to', () => {
  const without = containerOptions({ ...spec, socketFolder: undefined }, 'image:1')
  const { Mounts } = without.HostConfig

  expect(without.Cmd?.slice(2)).toEqual(['', '1000', '1000', '/workspace', inside.agentFile])
  expect(Mounts?.map(({ Target }) => Target)).toEqual(['/workspace', '/opt/codexbox/agent.cjs'])
})

test('an open network is the usual one of the engine, and changes nothing else', () => {
  const open = containerOptions({ ...spec, network: 'open' }, 'image:1')

  expect(open).toEqual({ ...options, HostConfig: { ...options.HostConfig, NetworkMode: 'bridge' } })
})

test('a list of hosts gives it no network, and changes nothing at all', () => {
  const allowing = containerOptions({ ...spec, network: { allow: ['github.com'] } }, 'image:1')

  expect(allowing).toEqual(options)
})

test('for tools that are root the agent is another user, with the right to take theirs, below a shell that waits for it, no files of names are mounted, and that changes nothing else', () => {
  const root = containerOptions({ ...spec, user: { uid: 0, gid: 0 } }, 'image:1')

  const CapAdd = ['SETUID', 'SETGID', 'KILL', 'SETPCAP']
  expect(root).toEqual({
    ...options,
    Cmd: options.Cmd?.slice(0, -2).map((argument) => (argument === '1000' ? '0' : argument)),
    Entrypoint: [
      'setpriv',
      '--reuid=65532',
      '--regid=65532',
      '--clear-groups',
      '--inh-caps=+setuid,+setgid,+kill,+setpcap',
      '--ambient-caps=+setuid,+setgid,+kill,+setpcap',
      'bash',
      '-c',
      expect.stringMatching(/^set -m$.*^exec "\$0" "\$@" &$.*^wait \$!$/ms),
      'node',
    ],
    HostConfig: {
      ...options.HostConfig,
      CapAdd,
      Init: false,
      Mounts: options.HostConfig.Mounts?.slice(0, -2),
    },
  })
})

function aMount(Source: string, Target: string, ReadOnly: boolean) {
  return { Type: 'bind', Source, Target, ReadOnly, BindOptions: { Propagation: 'rprivate' } }
}
