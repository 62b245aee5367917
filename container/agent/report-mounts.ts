import { closeSync, constants, fstatSync, openSync, readFileSync, readSync } from 'node:fs'
import { messageOf, systemCodeOf } from '../../shared/errors.ts'
import { loadModule } from '../../shared/load-module.ts'
import type { MountReport, ProofRequest, Proofs } from '../../shared/mount-report.ts'

/** The paths that the host asks about, and the user who may read them. */
export interface MountQuestion {
  paths: readonly string[]
  /** The owner of the workspace. */
  user: { uid: number; gid: number }
}

/** The question as arguments of the container script: `UID GID PATH...`. */
export function mountQuestion([uid, gid, ...paths]: readonly string[]): MountQuestion {
  return { user: { uid: Number(uid), gid: Number(gid) }, paths }
}

/** The mount table, and the identity of each path. */
export function reportMounts(question: MountQuestion): MountReport {
  return {
    type: 'mounts',
    bootId: readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(),
    table: readFileSync('/proc/self/mountinfo', 'utf8'),
    targets: inspect(question, identity),
  }
}

/** The answer to a request for proofs. A path that cannot be read has none. */
export function proofs({ file }: ProofRequest, question: MountQuestion): Proofs {
  const results = Object.entries(inspect(question, proof, file))
  return {
    type: 'proofs',
    targets: Object.fromEntries(
      results.flatMap(([path, text]) => (typeof text === 'string' ? [[path, text]] : [])),
    ),
  }
}

/** The role `look`: a process started for an agent that may not read the paths itself; prints the results. */
export function printInspection([file = '', ...args]: readonly string[]): void {
  const question = mountQuestion(args)
  const results = file ? inspect(question, proof, file) : inspect(question, identity)
  process.stdout.write(JSON.stringify(results))
}

type Results<T> = Record<string, T | { error: string }>

type Read<T> = (descriptor: number, file: string) => T

/**
 * A workspace of mode 0700 is closed to the agent, which has no capabilities over files. An agent with user id 0
 * takes the owner's id for a moment, before any tool runs. Another agent would lose its capabilities by
 * that, and starts a process as the owner.
 */
function inspect<T>({ paths, user }: MountQuestion, read: Read<T>, file = ''): Results<T> {
  const all = () => Object.fromEntries(paths.map((path) => [path, attempt(path, read, file)]))
  const results = all()
  const isClosed = Object.values(results).some(
    (result) =>
      typeof result === 'object' &&
      result !== null &&
      'error' in result &&
      result.error === 'EACCES',
  )
  const uid = process.getuid?.()
  if (!isClosed || uid === user.uid) return results
  if (uid !== 0) return inspectAsOwner({ paths, user }, file)
  process.setegid?.(user.gid)
  process.seteuid?.(user.uid)
  try {
    return all()
  } finally {
    process.seteuid?.(0)
    process.setegid?.(0)
  }
}

function inspectAsOwner<T>({ paths, user }: MountQuestion, file: string): Results<T> {
  const script = process.argv[1] ?? ''
  const args = [script, 'look', file, `${user.uid}`, `${user.gid}`, ...paths]
  const { execFileSync } = loadModule('node:child_process') as typeof import('node:child_process')
  return JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8', ...user }))
}

function attempt<T>(path: string, read: Read<T>, file: string): T | { error: string } {
  try {
    const descriptor = openWithoutLinks(path)
    try {
      return read(descriptor, file)
    } finally {
      closeSync(descriptor)
    }
  } catch (error) {
    return { error: systemCodeOf(error) ?? messageOf(error) }
  }
}

/** Linux: opens a file without a right to read it. Node has no constant for it. */
const O_PATH = 0o10000000

/** Name by name: a tool of another container may replace any folder of the workspace by a link. */
function openWithoutLinks(path: string): number {
  let descriptor = openSync('/', O_PATH)
  for (const name of path.split('/').filter(Boolean)) {
    const folder = descriptor
    try {
      descriptor = openSync(`/proc/self/fd/${folder}/${name}`, O_PATH | constants.O_NOFOLLOW)
    } finally {
      closeSync(folder)
    }
  }
  return descriptor
}

/** Both values of one open descriptor: two lookups by path could see two files. */
function identity(descriptor: number): { mountId: number; identity: string } {
  const { dev, ino } = fstatSync(descriptor, { bigint: true })
  const info = readFileSync(`/proc/self/fdinfo/${descriptor}`, 'utf8')
  return { mountId: Number(/^mnt_id:\s*(\d+)$/m.exec(info)?.[1]), identity: `${dev}:${ino}` }
}

/** Larger than any single mounted file. */
const MAX_FILE_BYTES = 16 * 1024 * 1024
const MAX_PROOF_BYTES = 256

function proof(descriptor: number, file: string): string {
  const opened = `/proc/self/fd/${descriptor}`
  if (fstatSync(descriptor).isDirectory()) {
    return readUpTo(`${opened}/${file}`, MAX_PROOF_BYTES).toString('utf8')
  }
  const { createHash } = loadModule('node:crypto') as typeof import('node:crypto')
  return createHash('sha256').update(readUpTo(opened, MAX_FILE_BYTES)).digest('hex')
}

/** @throws the system's error; Error for a longer file or no regular file */
function readUpTo(path: string, maxBytes: number): Buffer {
  const descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    const stats = fstatSync(descriptor)
    if (!stats.isFile() || stats.size > maxBytes) throw new Error('not a file of a size to be read')
    const bytes = Buffer.alloc(stats.size)
    return bytes.subarray(0, readSync(descriptor, bytes))
  } finally {
    closeSync(descriptor)
  }
}
