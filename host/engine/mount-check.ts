import { readFileSync } from 'node:fs'
import type { Readable, Writable } from 'node:stream'
import type Dockerode from 'dockerode'
import type { z } from 'zod'
import { CodexboxError, type ErrorCode, messageOf } from '../../shared/errors.ts'
import { MountReport, type ProofRequest, Proofs } from '../../shared/mount-report.ts'
import { quote } from '../../shared/visible-text.ts'
import { askEngine } from './ask-engine.ts'
import type { HeldMount } from './held-mounts.ts'
import { makeMountProofs } from './mount-proofs.ts'
import { type Mount, mountFaults, parseMountTable } from './mount-table.ts'
import { NoLineError, nextLine } from './next-line.ts'

/** The start of Node, on a machine that may be busy. */
const REPORT_MS = 20_000

/** A table has a hundred lines or so. */
const MAX_LINE_BYTES = 1024 * 1024

export interface MountCheckOptions {
  /** The two ends of a container that has just started. The lines of the check are taken off its output. */
  stdout: Readable
  stdin: Writable
  mounts: readonly HeldMount[]
  /** Where the container was to have a file system in memory. */
  inMemory: readonly string[]
  /** For messages. */
  where: string
}

/**
 * Compares what is mounted in a container with what was meant to be: by the time the engine follows the path of a
 * workspace, that may lead elsewhere. The container reports, before it is given anything. Where this process can
 * read the table of its mounts from the kernel, it does not take the container's word for it: a program that was
 * mounted in the place of node would report what we want to read.
 * @throws CodexboxError `workspace-invalid` when something else is mounted than was meant, `engine-unavailable`
 * when something is mounted that was not asked for, `protocol-violation` for a report that is none; NoLineError when
 * the output ended
 */
export async function checkMounts(
  container: Dockerode.Container,
  options: MountCheckOptions,
): Promise<void> {
  const { mounts, inMemory, where } = options
  const [report, ofKernel] = await Promise.all([
    lineOf(MountReport, options),
    tableOfKernel(container, where),
  ])
  const comparesNumbers = ofKernel !== undefined || report.bootId === bootId()
  const table = parseTable(ofKernel ?? report.table, where)
  const expected = mounts.map(({ source, ...mount }) => ({
    ...mount,
    identity: source?.identity,
  }))
  const [fault] = mountFaults(table, report.targets, expected, { inMemory, comparesNumbers })
  if (fault?.isExpected) throw notMeant(mounts, fault.point, fault.what)
  if (fault) throw notAskedFor(where, fault.point, fault.what)
  if (!comparesNumbers) await checkProofs(options)
}

/** Of an engine in a virtual machine: the container tells what it reads where the host has just written. */
async function checkProofs(options: MountCheckOptions): Promise<void> {
  const { mounts, stdin, where } = options
  let made: ReturnType<typeof makeMountProofs>
  try {
    made = makeMountProofs(mounts)
  } catch (error) {
    throw unusableReport(where, `no file to compare could be made (${messageOf(error)})`)
  }
  try {
    const request: ProofRequest = { type: 'prove', file: made.file }
    stdin.write(`${JSON.stringify(request)}\n`)
    const { targets } = await lineOf(Proofs, options)
    const wrong = [...made.answers].find(([target, answer]) => targets[target] !== answer)
    if (wrong) throw notMeant(mounts, wrong[0], 'is not what was to be mounted there')
  } finally {
    made.remove()
  }
}

async function lineOf<T>(schema: z.ZodType<T>, { stdout, where }: MountCheckOptions): Promise<T> {
  try {
    return schema.parse(JSON.parse(await nextLine(stdout, MAX_LINE_BYTES, REPORT_MS)))
  } catch (error) {
    if (error instanceof NoLineError) throw error
    throw unusableReport(where, quote(messageOf(error)), 'protocol-violation')
  }
}

/**
 * The container's mounts as the kernel tells them, where its process is one of this machine's and can be seen:
 * undefined where the engine is elsewhere, or this process is in a container itself.
 */
async function tableOfKernel(
  container: Dockerode.Container,
  where: string,
): Promise<string | undefined> {
  if (process.platform !== 'linux') return undefined
  const { State } = await askEngine((abortSignal) => container.inspect({ abortSignal }), where)
  try {
    // By another machine's word the number is some other process's.
    const isIts = readFileSync(`/proc/${State.Pid}/cgroup`, 'utf8').includes(container.id)
    return isIts ? readFileSync(`/proc/${State.Pid}/mountinfo`, 'utf8') : undefined
  } catch {
    return undefined
  }
}

/** Undefined where there is no such thing, and so no kernel that a container of ours could share. */
function bootId(): string | undefined {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  } catch {
    return undefined
  }
}

function parseTable(text: string, where: string): Mount[] {
  try {
    return parseMountTable(text)
  } catch (error) {
    throw unusableReport(where, messageOf(error))
  }
}

const NOTHING_GIVEN = 'It was removed before it was given anything.'

function notMeant(mounts: readonly HeldMount[], point: string, what: string): CodexboxError {
  const path = mounts.find(({ target }) => target === point)?.source?.path
  return new CodexboxError(
    'workspace-invalid',
    `${path} was replaced while a container was started: in there, ${point} ${what}. ${NOTHING_GIVEN} ` +
      'Find out which program changes that folder, such as another conversation in it, and try again.',
  )
}

function notAskedFor(where: string, point: string, what: string): CodexboxError {
  return new CodexboxError(
    'engine-unavailable',
    `In a container of the engine (${where}), ${point} ${what}. ${NOTHING_GIVEN} ` +
      'Look into the settings of the engine, or for a program that changes the workspace meanwhile.',
  )
}

function unusableReport(
  where: string,
  why: string,
  code: ErrorCode = 'engine-unavailable',
): CodexboxError {
  return new CodexboxError(
    code,
    `A container of the engine (${where}) did not show what is mounted in it: ${why}. ${NOTHING_GIVEN}`,
  )
}
