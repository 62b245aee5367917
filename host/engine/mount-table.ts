import { liesIn } from '../../shared/lies-in.ts'
import type { MountReport } from '../../shared/mount-report.ts'

/** A line of /proc/PID/mountinfo (proc(5)). */
export interface Mount {
  id: number
  parent: number
  /** `major:minor`. */
  device: string
  /** The mounted subtree: a path in its file system. */
  root: string
  /** The mount point. */
  point: string
  readOnly: boolean
  type: string
}

/** A requested bind mount. */
export interface ExpectedMount {
  /** A path in the container. */
  target: string
  readOnly: boolean
  /** `device:inode` of the source; absent where another proof exists. */
  identity?: string | undefined
}

/** @throws Error for a line of another form */
export function parseMountTable(text: string): Mount[] {
  const lines = text.split('\n').filter((line) => line !== '')
  return lines.map((line) => {
    const match =
      // Split at spaces alone: the kernel writes other white space as it is.
      /^(?<id>\d+) (?<parent>\d+) (?<device>\d+:\d+) (?<root>[^ ]+) (?<point>[^ ]+) (?<options>[^ ]+) (?:[^ ]+ )*?- (?<type>[^ ]+) /s.exec(
        line,
      )
    if (!match?.groups) throw new Error(`a line of the mount table cannot be read: ${line}`)
    const { id, parent, device = '', root = '', point = '', options = '', type = '' } = match.groups
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

/** The kernel escapes field separators in octal. */
function unescaped(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, octal) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  )
}

/** A fault of one mount of a container. */
export interface MountFault {
  /** A path in the container. */
  point: string
  /** The rest of a sentence that begins with that path. */
  what: string
  /** `replaced`: another file or folder than the requested one is mounted. */
  kind: 'not-asked-for' | 'replaced' | 'closed'
}

export interface ExpectedMounts {
  binds: readonly ExpectedMount[]
  /** Paths of tmpfs mounts. */
  inMemory: readonly string[]
  /** The host's mounts below the workspace, which come along with it, by their points in the container. */
  below: readonly Pick<Mount, 'point' | 'device' | 'root'>[]
}

/** The faults that the mount table alone shows. */
export function tableFaults(
  table: readonly Mount[],
  { binds, inMemory, below }: ExpectedMounts,
): MountFault[] {
  const mounts = withoutEach(table, below)
  const targets = new Set(binds.map(({ target }) => target))
  const seen = new Set<string>()
  // A volume may be declared by a path with a link in it, which only the image resolves.
  let elsewhere = inMemory.filter((path) => !mounts.some(({ point }) => point === path)).length
  const others = mounts.flatMap((mount): MountFault[] => {
    const { point, type, root } = mount
    if (targets.has(point)) return []
    const isSecond = seen.has(point)
    seen.add(point)
    if (!isSecond && isOfEngine(mount, inMemory)) return []
    if (!isSecond && isFresh(mount) && elsewhere-- > 0) return []
    return [fault(point, `is a mount (${type}, ${root}) that was not asked for`, 'not-asked-for')]
  })
  const wrong = binds.flatMap(({ target, readOnly }): MountFault[] => {
    const [mount, second] = mounts.filter(({ point }) => point === target)
    if (!mount) return [fault(target, 'is not mounted', 'replaced')]
    if (second) return [fault(target, 'is mounted twice', 'not-asked-for')]
    return readOnly && !mount.readOnly ? [fault(target, 'can be written to', 'replaced')] : []
  })
  // A mount missing at its target may be the extra mount elsewhere, and the extra mount says more.
  return [...others, ...wrong]
}

/** The faults at the targets. On another kernel the inode numbers mean nothing. */
export function targetFaults(
  table: readonly Mount[],
  targets: MountReport['targets'],
  binds: readonly ExpectedMount[],
  comparesNumbers: boolean,
): MountFault[] {
  return binds.flatMap(({ target, identity }): MountFault[] => {
    const report = targets[target]
    if (!report) return [fault(target, 'was not reported', 'closed')]
    if ('error' in report)
      return [fault(target, `cannot be opened there (${report.error})`, 'closed')]
    // The mount ids differ: the target was opened in another mount than the one in the table.
    if (!table.some(({ id, point }) => id === report.mountId && point === target)) {
      return [fault(target, 'was moved while it was looked at', 'replaced')]
    }
    if (!comparesNumbers || identity === undefined || report.identity === identity) return []
    return [fault(target, 'is not what was to be mounted there', 'replaced')]
  })
}

const fault = (point: string, what: string, kind: MountFault['kind']) => ({ point, what, kind })

function withoutEach(table: readonly Mount[], below: ExpectedMounts['below']): Mount[] {
  const remaining = [...table]
  for (const { point, device, root } of below) {
    const index = remaining.findIndex(
      (mount) => mount.point === point && mount.device === device && mount.root === root,
    )
    if (index >= 0) remaining.splice(index, 1)
  }
  return remaining
}

/**
 * The mounts below a folder of the host, at their points in a container that has the folder at `target`.
 * `table` is the host's.
 */
export function mountsBelow(
  table: readonly Mount[],
  folder: string,
  target: string,
): ExpectedMounts['below'] {
  return table
    .filter(({ point }) => point.startsWith(`${folder}/`))
    .map((mount) => ({ ...mount, point: target + mount.point.slice(folder.length) }))
}

const FILES_OF_ENGINE = [
  '/etc/resolv.conf',
  '/etc/hostname',
  '/etc/hosts',
  '/run/.containerenv',
  // Podman adds a line for a user that the image has no name for.
  '/etc/passwd',
  '/etc/group',
  // From Podman's own configuration (mounts.conf), as on machines with a subscription.
  '/run/secrets',
  // The init process. Where /sbin is a link, the kernel reports the real path.
  '/sbin/docker-init',
  '/usr/sbin/docker-init',
  '/run/podman-init',
  '/dev/init',
]

/** Podman mounts these in a read-only container. */
const MEMORY_OF_ENGINE = ['/run', '/tmp', '/var/tmp']

const KERNEL_TYPES: Record<string, RegExp> = {
  '/proc': /^(proc|fuse\.lxcfs)$/,
  '/sys': /^(sysfs|cgroup2?|fuse\.lxcfs)$/,
  '/dev': /^(devpts|mqueue)$/,
}

/** Mounts that every engine adds, none of them from the host's disk. */
function isOfEngine(mount: Mount, inMemory: readonly string[]): boolean {
  const { point, type, root } = mount
  if (point === '/' || FILES_OF_ENGINE.includes(point)) return true
  if (isFresh(mount) && [...inMemory, ...MEMORY_OF_ENGINE].includes(point)) return true
  const top = Object.keys(KERNEL_TYPES).find((path) => liesIn(point, path))
  if (!top) return false
  if (KERNEL_TYPES[top]?.test(type)) return true
  // The null device or an empty folder masks a kernel file; other mounts here are devices.
  const hides = root === '/null' || (mount.readOnly && root.endsWith('/.empty-directory'))
  return isFresh(mount) || (isMemory(mount) && (hides || `/dev${root}` === point))
}

const isFresh = (mount: Mount) => isMemory(mount) && mount.root === '/'

const isMemory = ({ type }: Mount) => type === 'tmpfs' || type === 'devtmpfs'
