import { readFileSync } from 'node:fs'
import type { Readable, Writable } from 'node:stream'
import type Dockerode from 'dockerode'
import type { z } from 'zod'
import { CodexboxError, type ErrorCode, messageOf } from '../../shared/errors.ts'
import { MountReport, type ProofRequest, Proofs } from '../../shared/mount-report.ts'
import { isGone } from './engine-request.ts'
import type { HeldMount } from './held-mounts.ts'
import { EndedError, mountsOf, ownMounts } from './kernel-mounts.ts'
import { makeMountProofs } from './mount-proofs.ts'
import {
  type ExpectedMounts,
  type Mount,
  type MountFault,
  mountsBelow,
  parseMountTable,
  tableFaults,
  targetFaults,
} from './mount-table.ts'
import { nextLine } from './next-line.ts'
import { inside } from './sandbox-policy.ts'
import { isNameFile } from './user-names.ts'

/** Time for a start of Node on a busy machine. */
const REPORT_MS = 20_000

/** A table has about a hundred lines. */
const MAX_LINE_BYTES = 1024 * 1024

/**
 * The image has a link at the path of a passwd or group file, as Nix images do: an engine follows it, and mounts our
 * file at its target.
 */
export class LinkedNamesError extends Error {
  override readonly name = 'LinkedNamesError'
}

export interface MountCheckOptions {
  /** The streams of a container that has just started. The lines of the check are taken off stdout. */
  stdout: Readable
  stdin: Writable
  mounts: readonly HeldMount[]
  /** Requested tmpfs mounts. */
  inMemory: readonly string[]
  /** For messages. */
  engineLabel: string
}

/**
 * Compares the mounts of a container with the requested ones: the path of a workspace may lead elsewhere by the
 * time the engine follows it. The container reports before it receives any data. Where this process can
 * read the mount table from the kernel, it does not rely on the container's report.
 * @throws CodexboxError `workspace-invalid` when a mount was replaced, `engine-unavailable`
 * for a mount that was not requested, `protocol-violation` for an invalid report; EndedError;
 * LinkedNamesError
 */
export async function checkMounts(
  container: Dockerode.Container,
  options: MountCheckOptions,
): Promise<void> {
  const reporting = lineOf(MountReport, options)
  // Awaited below, unless the table fails the start first.
  reporting.catch(() => {})
  const expected = expectedMounts(options)
  const throwFirst = ([fault]: MountFault[]) => {
    if (fault) throw faultError(fault, options)
  }
  const throwOfTable = (table: readonly Mount[]) => {
    const isMounted = (path: string) => table.some(({ point }) => point === path)
    if (expected.binds.some(({ target }) => isNameFile(target) && !isMounted(target))) {
      throw new LinkedNamesError('a file of names is mounted elsewhere')
    }
    throwFirst(tableFaults(table, expected))
  }
  const ofKernel = await mountsOf(container, options.engineLabel).catch((error: unknown) => {
    // The container has ended and the engine has removed it: its exit has the reason.
    throw isGone(error) ? new EndedError('it is gone') : error
  })
  if (ofKernel) throwOfTable(ofKernel)
  const report = await reporting
  const table = ofKernel ?? tableIn(report.table, options.engineLabel)
  const comparesNumbers = ofKernel !== undefined || report.bootId === bootId()
  if (!ofKernel) throwOfTable(table)
  throwFirst(targetFaults(table, report.targets, expected.binds, comparesNumbers))
  if (!comparesNumbers) await checkProofs(options)
}

function expectedMounts({ mounts, inMemory }: MountCheckOptions): ExpectedMounts {
  const binds = mounts.map(({ source, ...mount }) => ({ ...mount, identity: source?.identity }))
  const folder = mounts.find(({ target }) => target === inside.workspace)?.source?.path
  const hostMounts = folder === undefined ? [] : ownMounts()
  return { binds, inMemory, below: mountsBelow(hostMounts, folder ?? '', inside.workspace) }
}

/** For an engine in a virtual machine: the container reads back a file that the host has just written. */
async function checkProofs(options: MountCheckOptions): Promise<void> {
  const { mounts, stdin, engineLabel } = options
  let proofs: ReturnType<typeof makeMountProofs>
  try {
    proofs = makeMountProofs(mounts)
  } catch (error) {
    throw unusableReport(engineLabel, `no file to compare could be made (${messageOf(error)})`)
  }
  try {
    const request: ProofRequest = { type: 'prove', file: proofs.file }
    stdin.write(`${JSON.stringify(request)}\n`)
    const { targets } = await lineOf(Proofs, options)
    const wrong = [...proofs.answers].find(([target, answer]) => targets[target] !== answer)
    const what = 'is not what was to be mounted there'
    if (wrong) throw faultError({ point: wrong[0], what, kind: 'replaced' }, options)
  } finally {
    proofs.remove()
  }
}

async function lineOf<T>(
  schema: z.ZodType<T>,
  { stdout, engineLabel }: MountCheckOptions,
): Promise<T> {
  try {
    return schema.parse(JSON.parse(await nextLine(stdout, MAX_LINE_BYTES, REPORT_MS)))
  } catch (error) {
    if (error instanceof EndedError) throw error
    throw unusableReport(engineLabel, messageOf(error), 'protocol-violation')
  }
}

/** Undefined on systems without a boot id, whose kernel no Linux container can share. */
function bootId(): string | undefined {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  } catch {
    return undefined
  }
}

function tableIn(text: string, engineLabel: string): Mount[] {
  try {
    return parseMountTable(text)
  } catch (error) {
    throw unusableReport(engineLabel, messageOf(error), 'protocol-violation')
  }
}

const NOTHING_GIVEN = 'That container was removed before it was given anything.'

function faultError(
  { point, what, kind }: MountFault,
  { mounts, engineLabel }: MountCheckOptions,
): CodexboxError {
  if (kind === 'not-asked-for') {
    return new CodexboxError(
      'engine-unavailable',
      `In a container of the engine (${engineLabel}), ${point} ${what}. ${NOTHING_GIVEN} Look for the cause in the ` +
        'settings of the engine, in mounts below the workspace, or in a program that changes the workspace meanwhile.',
    )
  }
  const path = mounts.find(({ target }) => target === point)?.source?.path ?? point
  return new CodexboxError(
    'workspace-invalid',
    kind === 'closed'
      ? `${path} cannot be compared with what a container has: ${point} ${what}. ${NOTHING_GIVEN} ` +
          'Let the owner of the workspace open it and each folder above it (chmod u+rwx), and try again.'
      : `${path} was replaced while a container was started: in there, ${point} ${what}. ${NOTHING_GIVEN} ` +
          'Find out which program changes that folder, such as another conversation in it, and try again.',
  )
}

function unusableReport(
  engineLabel: string,
  why: string,
  code: ErrorCode = 'engine-unavailable',
): CodexboxError {
  return new CodexboxError(
    code,
    `A container of the engine (${engineLabel}) did not show what is mounted in it: ${why}. ${NOTHING_GIVEN}`,
  )
}
