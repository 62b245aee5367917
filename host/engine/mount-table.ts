import type { MountReport } from '../../shared/mount-report.ts'

/** A line of /proc/PID/mountinfo (proc(5)). */
export interface Mount {
  id: number
  parent: number
  /** `major:minor`. */
  device: string
  /** What of its file system is mounted: a path in that. */
  root: string
  /** Where it is mounted. */
  point: string
  readOnly: boolean
  type: string
}

/** A bind mount that was asked for. */
export interface ExpectedMount {
  /** Where it is to be in the container. */
  target: string
  readOnly: boolean
  /** `device:inode` of what is to be there; absent where that is shown in another way. */
  identity?: string | undefined
}

/** @throws Error for a line of another form */
export function parseMountTable(text: string): Mount[] {
  const lines = text.split('\n').filter((line) => line !== '')
  return lines.map((line) => {
    const found =
      /^(?<id>\d+) (?<parent>\d+) (?<device>\d+:\d+) (?<root>\S+) (?<point>\S+) (?<options>\S+) (?:\S+ )*?- (?<type>\S+) /.exec(
        line,
      )
    if (!found?.groups) throw new Error(`a line of the mount table cannot be read: ${line}`)
    const { id, parent, device = '', root = '', point = '', options = '', type = '' } = found.groups
    return {
      id: Number(id),
      parent: Number(parent),
      device,
      root: unescaped(root),
      point: unescaped(point),
      readOnly: options.split(',').includes('ro'),
      type,
    }
  })
}

/** The kernel writes what would end a field in octal. */
function unescaped(field: string): string {
  const bytes = field.replace(/\\([0-7]{3})/g, (_, octal) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  )
  return bytes
}

/** What is wrong with the mounts of a container, as the end of a sentence; undefined when they are as asked for. */
export interface MountFault {
  /** Where; a path in the container. */
  point: string
  /** What is wrong: the rest of a sentence that begins with that path. */
  what: string
  /** Whether it is one that was asked for, and not a further one. */
  isExpected: boolean
}

/**
 * Compares all mounts of a container with what was asked for. `inMemory` are the paths of the tmpfs that were.
 * With `comparesNumbers` the identities count too; on another kernel they mean nothing.
 */
export function mountFaults(
  table: readonly Mount[],
  targets: MountReport['targets'],
  expected: readonly ExpectedMount[],
  { inMemory, comparesNumbers }: { inMemory: readonly string[]; comparesNumbers: boolean },
): MountFault[] {
  const wanted = new Set(expected.map(({ target }) => target))
  const others = table.filter(({ point }) => !wanted.has(point))
  const seen = new Set<string>()
  return [
    ...expected.flatMap((mount) => {
      const what = faultOf(mount, table, targets[mount.target], comparesNumbers)
      return what ? [{ point: mount.target, what, isExpected: true }] : []
    }),
    ...others.flatMap((mount) => {
      const isSecond = seen.has(mount.point)
      seen.add(mount.point)
      if (!isSecond && isOfEngine(mount, inMemory)) return []
      const what = `is a mount (${mount.type}, ${mount.root}) that was not asked for`
      return [{ point: mount.point, what, isExpected: false }]
    }),
  ]
}

function faultOf(
  { target, readOnly, identity }: ExpectedMount,
  table: readonly Mount[],
  found: MountReport['targets'][string] | undefined,
  comparesNumbers: boolean,
): string | undefined {
  const [mount, second] = table.filter(({ point }) => point === target)
  if (!mount || second) return second ? 'is mounted twice' : 'is not mounted'
  if (readOnly && !mount.readOnly) return 'can be written to'
  if (!found || 'error' in found) return `cannot be looked at (${found?.error ?? 'not reported'})`
  // Numbers of two mounts: what is there was looked up in another one than the table shows.
  if (found.mountId !== mount.id) return 'was moved while it was looked at'
  if (comparesNumbers && identity !== undefined && found.identity !== identity)
    return 'is not what was to be mounted there'
  return undefined
}

const FILES_OF_ENGINE = [
  '/etc/resolv.conf',
  '/etc/hostname',
  '/etc/hosts',
  '/run/.containerenv',
  // The init process. Where /sbin is a link, the kernel tells the real path.
  '/sbin/docker-init',
  '/usr/sbin/docker-init',
  '/run/podman-init',
  '/dev/init',
]

/** Podman makes these in a container that can only be read. */
const MEMORY_OF_ENGINE = ['/run', '/tmp', '/var/tmp']

const KERNEL_TYPES: Record<string, RegExp> = {
  '/proc': /^(proc|fuse\.lxcfs)$/,
  '/sys': /^(sysfs|cgroup2?|fuse\.lxcfs)$/,
  '/dev': /^(devpts|mqueue)$/,
}

/** What every engine mounts by itself, and nothing of the host's disk. */
function isOfEngine(mount: Mount, inMemory: readonly string[]): boolean {
  const { point, type, root } = mount
  if (point === '/' || FILES_OF_ENGINE.includes(point)) return true
  const isMemoryPlace = inMemory.includes(point) || MEMORY_OF_ENGINE.includes(point)
  if (isMemoryPlace && isMemory(mount) && root === '/') return true
  const top = Object.keys(KERNEL_TYPES).find((path) => isWithin(point, path))
  if (!top) return false
  if (KERNEL_TYPES[top]?.test(type)) return true
  // A fresh file system in memory, a device, or the null device that hides a file of the kernel's.
  return isMemory(mount) && (root === '/' || root === '/null' || `/dev${root}` === point)
}

const isMemory = ({ type }: Mount) => type === 'tmpfs' || type === 'devtmpfs'

const isWithin = (path: string, folder: string) => path === folder || path.startsWith(`${folder}/`)
