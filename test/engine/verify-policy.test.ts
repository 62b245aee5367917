import type { ContainerInspectInfo } from 'dockerode'
import { expect, test } from 'vitest'
import { containerOptions } from '../../host/engine/sandbox-policy.ts'
import { policyDeviations } from '../../host/engine/verify-policy.ts'
import { someSource } from '../fakes/container-script.ts'

const asked = containerOptions(
  {
    name: 'codexbox-1',
    agentFile: '/opt/agent.cjs',
    workspace: someSource('/home/me/project'),
    socketFolder: '/tmp/codexbox-run-abc/s',
    network: 'none',
    user: { uid: 1000, gid: 1000 },
  },
  'image:1',
)

type Loose = Record<string, unknown>

const mounts = [
  { Type: 'bind', Source: '/home/me/project', Destination: '/workspace', RW: true },
  { Type: 'bind', Source: '/opt/agent.cjs', Destination: '/opt/codexbox/agent.cjs', RW: false },
  { Type: 'bind', Source: '/tmp/codexbox-run-abc/s', Destination: '/run/codexbox', RW: false },
  ...['passwd', 'group'].map((name) => ({
    Type: 'bind',
    Source: `/tmp/codexbox-run-abc/s/${name}`,
    Destination: `/etc/${name}`,
    RW: false,
  })),
]

/** As Docker answers. */
function aContainer(hostConfig: Loose = {}, config: Loose = {}, top: Loose = {}) {
  return {
    Config: {
      User: '0:0',
      Tty: false,
      OpenStdin: true,
      Env: asked.Env,
      Healthcheck: { Test: ['NONE'] },
      ...config,
    },
    HostConfig: {
      ...asked.HostConfig,
      Privileged: false,
      PidMode: '',
      UTSMode: '',
      Devices: null,
      MaskedPaths: ['/proc/kcore'],
      ReadonlyPaths: ['/proc/sys'],
      ...hostConfig,
    },
    Mounts: mounts,
    ...top,
  } as unknown as ContainerInspectInfo
}

/** How Podman says the same. */
const asPodman = {
  CapAdd: [],
  CapDrop: [
    ...['AUDIT_WRITE', 'CHOWN', 'DAC_OVERRIDE', 'FOWNER', 'FSETID', 'MKNOD', 'NET_BIND_SERVICE'],
    ...['NET_RAW', 'SETFCAP', 'SETPCAP', 'SYS_CHROOT'],
  ],
  CgroupnsMode: '',
  IpcMode: 'shareable',
  PidMode: 'private',
  UTSMode: 'private',
  Devices: [],
  LogConfig: { Type: 'none', Config: null },
  MaskedPaths: null,
  ReadonlyPaths: null,
  Ulimits: [
    { Name: 'RLIMIT_CORE', Hard: 0, Soft: 0 },
    { Name: 'RLIMIT_NOFILE', Hard: 4096, Soft: 4096 },
  ],
}

test.each<[engine: string, hostConfig: Loose]>([
  ['Docker', {}],
  ['newer Docker', { CapAdd: ['CAP_KILL', 'CAP_SETGID', 'CAP_SETUID'] }],
  ['Podman', asPodman],
])(
  'a container that is what was asked for, in the words of %s, deviates in nothing',
  (_, words) => {
    expect(policyDeviations(aContainer(words), asked)).toEqual([])
  },
)

test.each<[field: string, is: unknown]>([
  ['Privileged', true],
  ['CapDrop', null],
  ['CapDrop', []],
  ['CapDrop', ['NET_RAW']],
  ['CapAdd', ['SETUID', 'SETGID', 'KILL', 'SYS_ADMIN']],
  ['CapAdd', ['CAP_SYS_PTRACE']],
  ['CapAdd', ['ALL']],
  ['SecurityOpt', null],
  ['SecurityOpt', ['no-new-privileges:false']],
  ['SecurityOpt', ['no-new-privileges', 'seccomp=unconfined']],
  ['SecurityOpt', ['no-new-privileges', 'label=disable']],
  ['NetworkMode', 'default'],
  ['NetworkMode', 'host'],
  ['NetworkMode', 'bridge'],
  ['ReadonlyRootfs', false],
  ['Devices', [{ PathOnHost: '/dev/kvm' }]],
  ['DeviceRequests', [{ Count: -1 }]],
  ['VolumesFrom', ['other']],
  ['MaskedPaths', []],
  ['ReadonlyPaths', []],
  ['PidMode', 'host'],
  ['PidMode', 'container:abc'],
  ['IpcMode', 'host'],
  ['UTSMode', 'host'],
  ['CgroupnsMode', 'host'],
  ['PidsLimit', null],
  ['PidsLimit', -1],
  ['PidsLimit', 4096],
  ['Memory', 0],
  ['Memory', 2 ** 40],
  ['Ulimits', null],
  ['Ulimits', [{ Name: 'core', Soft: 0, Hard: -1 }]],
  ['LogConfig', { Type: 'json-file', Config: {} }],
  ['AutoRemove', false],
  ['RestartPolicy', { Name: 'always' }],
])('one whose %s is %j is told by that name', (field, is) => {
  const deviations = policyDeviations(aContainer({ [field]: is }), asked)

  expect(deviations).toEqual([
    { field, is, asked: asked.HostConfig[field as keyof typeof asked.HostConfig] },
  ])
})

test('one without the system call profile that was asked for is told, and no other profile will do', () => {
  const securityOpt = ['no-new-privileges', 'seccomp=/opt/disabled/profile.json']
  const strict = { ...asked, HostConfig: { ...asked.HostConfig, SecurityOpt: securityOpt } }
  const fieldsOf = (SecurityOpt: string[]) =>
    policyDeviations(aContainer({ SecurityOpt }), strict).map(({ field }) => field)

  expect(fieldsOf(securityOpt)).toEqual([])
  expect(fieldsOf(['no-new-privileges'])).toEqual(['SecurityOpt'])
  expect(fieldsOf(['no-new-privileges', 'seccomp=/other.json'])).toEqual(['SecurityOpt'])
  expect(fieldsOf([...securityOpt, 'seccomp=unconfined'])).toEqual(['SecurityOpt'])
})

test.each<[field: string, is: unknown]>([
  ['User', ''],
  ['Tty', true],
  ['OpenStdin', false],
  ['Healthcheck', { Test: ['CMD-SHELL', 'touch /workspace/healthy'] }],
])('one whose %s is %j is told as well', (field, is) => {
  expect(policyDeviations(aContainer({}, { [field]: is }), asked)).toMatchObject([{ field, is }])
})

test('variables that were not asked for are told by their names alone', () => {
  const Env = ['LD_PRELOAD=/workspace/a.so', ...(asked.Env ?? []), 'PATH=/workspace/bin', 'HOME=']

  expect(policyDeviations(aContainer({}, { Env }), asked)).toEqual([
    { field: 'Env', is: ['LD_PRELOAD', 'PATH', 'HOME'], asked: [] },
  ])
})

test.each([
  ['fewer variables than were asked for', { Env: null }],
  ['what Podman adds', { Env: ['container=podman', 'TERM=xterm', 'HOSTNAME=1a2b-c'] }],
  ['no word of a check', { Healthcheck: null }],
  ['a check without a command', { Healthcheck: {} }],
])('%s are no deviation', (_, config) => {
  expect(policyDeviations(aContainer({}, config), asked)).toEqual([])
})

test.each<[what: string, is: Loose[]]>([
  ['one more', [...mounts, { Type: 'bind', Source: '/', Destination: '/host', RW: false }]],
  ['one of the engine', [...mounts, { Type: 'volume', Name: 'a', Destination: '/data', RW: true }]],
  ['one too few', mounts.slice(1)],
  ['one that was to be read-only', mounts.map((mount) => ({ ...mount, RW: true }))],
])('of the folders of the host, %s is told', (_, is) => {
  expect(policyDeviations(aContainer({}, {}, { Mounts: is }), asked)).toMatchObject([
    { field: 'Mounts' },
  ])
})

test('of a folder whose path can be read in two ways, another one is told', () => {
  const path = '/home/me/a,source=/etc'
  const mountsOf = (Source: string) =>
    mounts.with(0, { ...mounts[0], Source } as (typeof mounts)[0])
  const wanted = asked.HostConfig.Mounts?.map((mount) =>
    mount.Target === '/workspace' ? { ...mount, Source: path } : mount,
  )
  const ofPath = { ...asked, HostConfig: { ...asked.HostConfig, Mounts: wanted ?? [] } }

  expect(policyDeviations(aContainer({}, {}, { Mounts: mountsOf(path) }), ofPath)).toEqual([])
  expect(policyDeviations(aContainer({}, {}, { Mounts: mountsOf('/etc') }), ofPath)).toMatchObject([
    { field: 'Mounts' },
  ])
})

test('with an open network, only the network of the host is too much', () => {
  const open = { ...asked, HostConfig: { ...asked.HostConfig, NetworkMode: 'bridge' } }

  expect(policyDeviations(aContainer({ NetworkMode: 'default' }), open)).toEqual([])
  expect(policyDeviations(aContainer({ NetworkMode: 'host' }), open)).toMatchObject([
    { field: 'NetworkMode', is: 'host', asked: 'bridge' },
  ])
})
