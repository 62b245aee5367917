import { describe, expect, test } from 'vitest'
import {
  type ExpectedMount,
  type Mount,
  mountsBelow,
  parseMountTable,
  tableFaults,
  targetFaults,
} from '../../host/engine/mount-table.ts'
import type { MountReport } from '../../shared/mount-report.ts'

/** As Docker makes it, with every optional field and an escaped path. */
const TABLE = `81 48 0:39 / / ro,relatime master:2 - overlay overlay rw,lowerdir=/a:/b
82 81 0:42 / /proc rw,nosuid shared:1 master:2 propagate_from:3 unbindable - proc proc rw
83 82 0:43 /null /proc/keys rw,nosuid - tmpfs tmpfs rw,size=65536k
84 81 254:0 /home/me/a\\040b/\\134x /workspace rw,relatime - ext4 /dev/vda rw
85 84 254:0 /home/me/a\\040b/\\134x/.git/hooks /workspace/.git/hooks ro,relatime - ext4 /dev/vda rw
86 81 0:44 / /tmp rw,nosuid,nodev - tmpfs tmpfs rw,size=512m
`

const expected: ExpectedMount[] = [
  { target: '/workspace', readOnly: false, identity: '254:11' },
  { target: '/workspace/.git/hooks', readOnly: true, identity: '254:12' },
]
const targets: MountReport['targets'] = {
  '/workspace': { mountId: 84, identity: '254:11' },
  '/workspace/.git/hooks': { mountId: 85, identity: '254:12' },
}
const table = parseMountTable(TABLE)
const wanted = { binds: expected, inMemory: ['/tmp'], below: [] }

const faults = (mounts: readonly Mount[], found = targets, comparesNumbers = true) =>
  [...tableFaults(mounts, wanted), ...targetFaults(mounts, found, expected, comparesNumbers)].map(
    ({ point, what }) => `${point} ${what}`,
  )

function aMount(given: Partial<Mount>): Mount {
  const mount = { id: 90, parent: 81, device: '254:0', root: '/home/me/evil', point: '/srv' }
  return { ...mount, readOnly: true, type: 'ext4', ...given }
}

test('a table is read with its optional fields and its escapes', () => {
  expect(table[3]).toEqual({
    id: 84,
    parent: 81,
    device: '254:0',
    root: '/home/me/a b/\\x',
    point: '/workspace',
    readOnly: false,
    type: 'ext4',
  })
  expect(table.map(({ point, readOnly }) => [point, readOnly])).toEqual([
    ['/', true],
    ['/proc', false],
    ['/proc/keys', false],
    ['/workspace', false],
    ['/workspace/.git/hooks', true],
    ['/tmp', false],
  ])
})

test('a line of another form is an error', () => {
  expect(() => parseMountTable('84 81 nonsense')).toThrow('nonsense')
})

test('white space that is no field separator is a part of a path', () => {
  const path = '/home/me/\u3000wide\u00a0\ufeff\r\v'
  const [mount] = parseMountTable(`84 81 254:0 ${path} /workspace rw - ext4 /dev/vda rw\n`)

  expect(mount?.root).toBe(path)
})

test('the mounts that were asked for, and those of every engine, are in order', () => {
  expect(faults(table)).toEqual([])
})

test('what crun hides the files of the kernel with, and what Podman adds by itself, is in order', () => {
  const more = [
    aMount({ point: '/proc/scsi', type: 'tmpfs', root: '/crun/.empty-directory' }),
    aMount({
      point: '/run/secrets',
      type: 'tmpfs',
      root: '/containers/overlay-containers/1/run/secrets',
    }),
    aMount({ point: '/var/tmp', type: 'tmpfs', root: '/' }),
    ...['passwd', 'group'].map((name) =>
      aMount({ point: `/etc/${name}`, root: `/containers/overlay-containers/1/userdata/${name}` }),
    ),
  ]

  expect(faults([...table, ...more])).toEqual([])
})

test('a volume in memory may be where a link of the image leads, and no further one', () => {
  const volume = aMount({ point: '/run/thing', type: 'tmpfs', root: '/' })
  const asked = { ...wanted, inMemory: ['/tmp', '/var/run/thing'] }

  expect(tableFaults([...table, volume], asked)).toEqual([])
  expect(tableFaults([...table, volume], wanted)).toHaveLength(1)
  expect(tableFaults([...table, volume, { ...volume, point: '/run/other' }], asked)).toHaveLength(1)
})

test('the mounts that the host has below the workspace come along with it', () => {
  const disk = { ...aMount({ root: '/', device: '8:1' }), point: '/home/me/work/disk' }
  const beside = { ...disk, point: '/home/me/work2/disk' }
  const below = mountsBelow([disk, beside], '/home/me/work', '/workspace')
  const inside = { ...disk, point: '/workspace/disk' }

  expect(tableFaults([...table, inside], { ...wanted, below })).toEqual([])
  expect(tableFaults([...table, inside], wanted)).toHaveLength(1)
  expect(tableFaults([...table, { ...inside, root: '/etc' }], { ...wanted, below })).toHaveLength(1)
  expect(tableFaults([...table, inside, inside], { ...wanted, below })).toHaveLength(1)
})

describe('a fault is', () => {
  test('another file or folder at a target', () => {
    const found = { ...targets, '/workspace/.git/hooks': { mountId: 85, identity: '254:99' } }

    expect(faults(table, found)).toEqual([
      '/workspace/.git/hooks is not what was to be mounted there',
    ])
    expect(faults(table, found, false)).toEqual([])
  })

  test('the right file, found in another mount than the one at its target', () => {
    const found = { ...targets, '/workspace/.git/hooks': { mountId: 84, identity: '254:12' } }

    expect(faults(table, found)).toEqual(['/workspace/.git/hooks was moved while it was looked at'])
  })

  test.each([
    ['not reported', {}, 'was not reported'],
    ['not to be opened', { '/workspace': { error: 'ELOOP' } }, 'cannot be opened there (ELOOP)'],
  ])('a target that was %s', (_, found, what) => {
    expect(faults(table, found)).toContain(`/workspace ${what}`)
  })

  test('a target that is not mounted, is mounted twice, or can be written to', () => {
    const without = table.filter(({ point }) => point !== '/workspace/.git/hooks')
    const writable = aMount({ id: 85, point: '/workspace/.git/hooks', readOnly: false })

    const faults = (mounts: Mount[]) =>
      tableFaults(mounts, wanted).map(({ point, what }) => `${point} ${what}`)

    expect(faults(without)).toEqual(['/workspace/.git/hooks is not mounted'])
    expect(faults([...table, aMount({ point: '/workspace' })])).toEqual([
      '/workspace is mounted twice',
    ])
    expect(faults([...without, writable])).toEqual(['/workspace/.git/hooks can be written to'])
  })

  test.each<[what: string, mount: Partial<Mount>]>([
    ['a folder over programs', { point: '/usr/local/bin' }],
    ['one below the workspace', { point: '/workspace/.git/modules2' }],
    ['one that was moved in the workspace', { point: '/workspace/x' }],
    ['a folder over the agent', { point: '/opt/codexbox' }],
    ['a folder of the disk below /proc', { point: '/proc/x' }],
    ['a folder of the disk below /dev', { point: '/dev/x' }],
    ['a folder of memory below /sys', { point: '/sys/x', type: 'tmpfs', root: '/proj/.git' }],
    ['a second /tmp', { point: '/tmp' }],
    ["a folder of the disk in the place of the engine's memory", { point: '/var/tmp' }],
    ['a folder of memory in the place of ours', { point: '/home/agent', type: 'tmpfs' }],
    ['what only begins like a place of the kernel', { point: '/devices', type: 'devpts' }],
    ['a second root', { point: '/' }],
    ['a second init process', { point: '/sbin/docker-init', id: 91 }],
  ])('a mount that was not asked for: %s', (_, given) => {
    const init = aMount({ point: '/sbin/docker-init', root: '/usr/bin/tini-static' })

    expect(tableFaults([...table, init, aMount(given)], wanted)).toEqual([
      { point: given.point, what: expect.stringContaining('not asked for'), kind: 'not-asked-for' },
    ])
  })
})
