import { closeSync, constants, fstatSync, openSync, readFileSync, readSync } from 'node:fs'
import { messageOf, systemCodeOf } from '../../shared/errors.ts'
import { loadModule } from '../../shared/load-module.ts'
import type { MountReport, ProofRequest, Proofs } from '../../shared/mount-report.ts'

/** What the host wants to be told about, and with whose rights it can be seen. */
export interface MountQuestion {
  paths: readonly string[]
  /** The owner of the workspace. */
  user: { uid: number; gid: number }
}

/** The question as arguments of the container script: `UID GID PATH...`. */
export function mountQuestion([uid, gid, ...paths]: readonly string[]): MountQuestion {
  return { user: { uid: Number(uid), gid: Number(gid) }, paths }
}

/** What is mounted, and what is found at each of the paths. */
export function reportMounts(question: MountQuestion): MountReport {
  return {
    type: 'mounts',
    bootId: readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(),
    table: readFileSync('/proc/self/mountinfo', 'utf8'),
    targets: look(question, identity),
  }
}

/** The answer to a request for proofs. What cannot be read has none. */
export function proofs({ file }: ProofRequest, question: MountQuestion): Proofs {
  const found = Object.entries(look(question, proof, file))
  return {
    type: 'proofs',
    targets: Object.fromEntries(
      found.flatMap(([path, text]) => (typeof text === 'string' ? [[path, text]] : [])),
    ),
  }
}

/** The role of the process that is started for an agent which may not look itself: prints what was found. */
export function printLook([file = '', ...args]: readonly string[]): void {
  const question = mountQuestion(args)
  const found = file ? look(question, proof, file) : look(question, identity)
  process.stdout.write(JSON.stringify(found))
}

type Found<T> = Record<string, T | { error: string }>

type Read<T> = (descriptor: number, file: string) => T

/**
 * A workspace of mode 0700 is closed to the agent, which has no rights over files. The agent that is root by number
 * takes the owner's number for that moment, in which there is no tool yet. One that is not would lose its rights by
 * that, and starts a process as the owner.
 */
function look<T>({ paths, user }: MountQuestion, read: Read<T>, file = ''): Found<T> {
  const all = () => Object.fromEntries(paths.map((path) => [path, attempt(path, read, file)]))
  const found = all()
  const isClosed = Object.values(found).some(
    (one) => typeof one === 'object' && one !== null && 'error' in one && one.error === 'EACCES',
  )
  const uid = process.getuid?.()
  if (!isClosed || uid === user.uid) return found
  if (uid !== 0) return lookApart({ paths, user }, file)
  process.setegid?.(user.gid)
  process.seteuid?.(user.uid)
  try {
    return all()
  } finally {
    process.seteuid?.(0)
    process.setegid?.(0)
  }
}

function lookApart<T>({ paths, user }: MountQuestion, file: string): Found<T> {
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

/** Linux: refers to a file without a right to read it. Node does not name it. */
const O_PATH = 0o10000000

/** Step by step: a tool of another container may put a link in the place of any folder of the workspace. */
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

/** Both of the one thing that is open: looked up one after the other they could be of two. */
function identity(descriptor: number): { mountId: number; identity: string } {
  const { dev, ino } = fstatSync(descriptor, { bigint: true })
  const info = readFileSync(`/proc/self/fdinfo/${descriptor}`, 'utf8')
  return { mountId: Number(/^mnt_id:\s*(\d+)$/m.exec(info)?.[1]), identity: `${dev}:${ino}` }
}

/** More than any file that is mounted by itself has. */
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

/** @throws the system's error, and for what is longer or no regular file */
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
