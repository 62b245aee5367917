import { readFileSync } from 'node:fs'
import { PassThrough } from 'node:stream'
import type Dockerode from 'dockerode'
import { CodexboxError, messageOf, systemCodeOf } from '../../shared/errors.ts'
import { demultiplex } from './demultiplex.ts'
import { engineRequest } from './engine-request.ts'
import { hijack } from './hijack.ts'
import { type Mount, parseMountTable } from './mount-table.ts'

/** A container ended before it had said what was waited for. */
export class EndedError extends Error {
  override readonly name = 'EndedError'
}

/** Those of this process; none where the kernel has no such table. */
export function ownMounts(): Mount[] {
  try {
    return parseMountTable(readFileSync('/proc/self/mountinfo', 'utf8'))
  } catch {
    return []
  }
}

/**
 * The mounts of a running container as the kernel tells them; undefined where its process cannot be seen from
 * here: the engine is elsewhere, or this process is in a container itself, or sees its own user's processes only.
 * @throws EndedError; CodexboxError `engine-unavailable` for a process that is there and whose mounts cannot be read
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
    // By another machine's word the number is some other process's.
    const isIts = readFileSync(`/proc/${State.Pid}/cgroup`, 'utf8').includes(container.id)
    return isIts ? table : undefined
  } catch (error) {
    const code = systemCodeOf(error)
    // A process that has ended and is still listed has no mounts any more.
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

/** It is a start of Node, on a machine that may be busy. */
const EXEC_MS = 20_000

const MAX_TABLE_BYTES = 1024 * 1024

/**
 * The same table from another kernel: a program that the engine starts in the container reads it. Tools are another
 * user than that program, and cannot change what it prints. Where they are root by number it runs as another one.
 * @throws CodexboxError `engine-unavailable`; a refusal of the engine's; Error when what it printed is no such table
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
