import { readFileSync } from 'node:fs'
import { PassThrough } from 'node:stream'
import type Dockerode from 'dockerode'
import { CodexboxError, messageOf, systemCodeOf } from '../../shared/errors.ts'
import { demultiplex } from './demultiplex.ts'
import { engineRequest } from './engine-request.ts'
import { hijack } from './hijack.ts'
import { type Mount, parseMountTable } from './mount-table.ts'

/** A container ended before it wrote the awaited line. */
export class EndedError extends Error {
  override readonly name = 'EndedError'
}

/** The mounts of this process; none where the kernel has no such table. */
export function ownMounts(): Mount[] {
  try {
    return parseMountTable(readFileSync('/proc/self/mountinfo', 'utf8'))
  } catch {
    return []
  }
}

/**
 * The mounts of a running container from the kernel; undefined where its process is not visible:
 * the engine is remote, or this process is in a container itself, or sees only its own user's processes.
 * @throws EndedError; CodexboxError `engine-unavailable` for a visible process whose mounts cannot be read
 */
export async function mountsOf(
  container: Dockerode.Container,
  engineLabel: string,
): Promise<Mount[] | undefined> {
  if (process.platform !== 'linux') return undefined
  const { State } = await engineRequest(
    (abortSignal) => container.inspect({ abortSignal }),
    engineLabel,
  )
  try {
    const table = parseMountTable(readFileSync(`/proc/${State.Pid}/mountinfo`, 'utf8'))
    // On another machine the number belongs to a different process.
    const isIts = readFileSync(`/proc/${State.Pid}/cgroup`, 'utf8').includes(container.id)
    return isIts ? table : undefined
  } catch (error) {
    const code = systemCodeOf(error)
    // A zombie process has no mounts any more.
    if (code === 'EINVAL') throw new EndedError('its process has ended')
    if (code !== undefined && NOT_SEEN.includes(code)) return undefined
    throw new CodexboxError(
      'engine-unavailable',
      `What is mounted in a container of the engine (${engineLabel}) cannot be read: ${messageOf(error)}. ` +
        'Start codexbox where it can see the processes of its containers.',
      { cause: error },
    )
  }
}

const NOT_SEEN = ['ENOENT', 'EACCES', 'ESRCH']

/** Time for a start of Node on a busy machine. */
const EXEC_MS = 20_000

const MAX_TABLE_BYTES = 1024 * 1024

/**
 * The same table from another kernel: a program that the engine starts in the container reads it. The tools run as a
 * different user than that program, and cannot change its output; beside tools with uid 0 it takes another uid.
 * @throws CodexboxError `engine-unavailable`; an error answer of the engine; Error when the output is not such a table
 */
export async function mountsByExec(
  docker: Dockerode,
  container: Dockerode.Container,
  engineLabel: string,
): Promise<Mount[]> {
  const printed = await engineRequest(
    async (abortSignal) => {
      const exec = await container.exec({
        Cmd: ['node', '-p', "require('fs').readFileSync('/proc/self/mountinfo', 'utf8')"],
        User: '65533:65533',
        WorkingDir: '/',
        AttachStdout: true,
        AttachStderr: true,
        Tty: false,
        abortSignal,
      })
      const body = JSON.stringify({ Detach: false, Tty: false })
      const path = `/exec/${exec.id}/start`
      const stream = await hijack(docker, { path, body }, abortSignal)
      abortSignal.addEventListener('abort', () => stream.destroy())
      const stdout = new PassThrough()
      const stderr = new PassThrough().resume()
      const read = textOf(stdout, MAX_TABLE_BYTES)
      await demultiplex(stream, { stdout, stderr })
      stdout.end()
      return read
    },
    engineLabel,
    EXEC_MS,
  )
  return parseMountTable(printed)
}

async function textOf(stream: AsyncIterable<Buffer>, maxBytes: number): Promise<string> {
  const pieces: Buffer[] = []
  let bytes = 0
  for await (const piece of stream) {
    bytes += piece.length
    if (bytes > maxBytes) throw new Error(`a mount table is longer than ${maxBytes} bytes`)
    pieces.push(piece)
  }
  return Buffer.concat(pieces).toString('utf8')
}
