import { readdir } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { type Duplex, PassThrough, Writable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import type Dockerode from 'dockerode'
import { CodexboxError } from '../../shared/errors.ts'
import { FrameError } from '../../shared/frames.ts'
import { Multiplexer } from '../../shared/multiplexer.ts'
import { quote } from '../../shared/visible-text.ts'
import { demultiplex, StreamFormatError } from './demultiplex.ts'
import { type AgentExit, tailOf } from './engine.ts'
import { engineRequest } from './engine-request.ts'
import { hijack } from './hijack.ts'
import { inside } from './sandbox-policy.ts'

/** Connects a container with host sockets that cannot be mounted into it. */
export interface Relay {
  /** Settles with the reason when the relay has ended. Never rejects. */
  readonly ended: Promise<Extract<AgentExit, { lost: unknown }>>
  close(): void
}

/** Time for a start of Node on a busy machine. */
const READY_MS = 20_000

/**
 * Starts the container script a second time, in the running container, to listen there on sockets
 * with the names of those in `socketFolder`. Each connection runs over the process's stdin and stdout
 * to the socket on the host. The container's end cannot name any other socket.
 * @throws CodexboxError `engine-unavailable` when the relay is not ready in time, `protocol-violation`
 */
export async function startRelay(
  docker: Dockerode,
  container: Dockerode.Container,
  { socketFolder, engineLabel }: { socketFolder: string; engineLabel: string },
): Promise<Relay> {
  const names = (await readdir(socketFolder)).filter((name) => name.endsWith('.sock')).sort()
  const stream = await execute(docker, container, names, engineLabel)
  const stderr = new PassThrough()
  const stderrTail = tailOf(stderr)
  let broken: FrameError | undefined
  let isReady = () => {}
  const ready = new Promise<void>((resolve) => {
    isReady = resolve
  })
  const multiplexer = new Multiplexer({
    output: stream,
    onReady: isReady,
    onOpen(index) {
      const name = names[index]
      if (name === undefined) throw new FrameError(`a connection to the place ${index}`)
      return connect({ path: join(socketFolder, name), allowHalfOpen: true })
    },
    onBroken(error) {
      broken = error
      stream.destroy()
    },
  })
  const stdout = new Writable({
    highWaterMark: 1024 * 1024,
    write(chunk: Buffer, _encoding, done) {
      multiplexer.receive(chunk)
      done()
    },
  })
  const close = () => {
    multiplexer.close()
    stream.destroy()
  }
  const ended = demultiplex(stream, { stdout, stderr })
    .catch((error: unknown) => {
      // A broken connection counts as an end.
      if (error instanceof StreamFormatError) broken ??= new FrameError(error.message)
    })
    .then(() => {
      close()
      return reasonOf(broken, stderrTail())
    })
  await untilReady(ready, ended, engineLabel).catch((error: unknown) => {
    close()
    throw error
  })
  return { ended, close }
}

async function execute(
  docker: Dockerode,
  container: Dockerode.Container,
  names: string[],
  engineLabel: string,
): Promise<Duplex> {
  const exec = await engineRequest(
    (abortSignal) =>
      container.exec({
        // Rootless Podman before 5.5 ignores such limits.
        Cmd: [
          'bash',
          '-c',
          'ulimit -c 0 && exec node "$@"',
          'node',
          inside.agentFile,
          'relay',
          inside.relayFolder,
          ...names,
        ],
        // Neither the agent nor a likely owner of a workspace: tools cannot kill the relay and put their own
        // socket in its place. As root they can signal it through F_SETSIG; the run ends then.
        User: '65533:65533',
        WorkingDir: '/',
        AttachStdin: true,
        AttachStdout: true,
        AttachStderr: true,
        Tty: false,
        abortSignal,
      }),
    engineLabel,
  )
  const body = JSON.stringify({ Detach: false, Tty: false })
  return engineRequest(
    (abortSignal) => hijack(docker, { path: `/exec/${exec.id}/start`, body }, abortSignal),
    engineLabel,
  )
}

async function untilReady(
  ready: Promise<void>,
  ended: Relay['ended'],
  engineLabel: string,
): Promise<void> {
  const isInTime = new AbortController()
  const late = sleep(
    READY_MS,
    { lost: `it was not ready within ${READY_MS / 1000} s` },
    { signal: isInTime.signal },
  )
  const failed = await Promise.race([ready, ended, late])
  isInTime.abort()
  if (!failed) return
  if ('error' in failed && failed.error) throw failed.error
  throw new CodexboxError(
    'engine-unavailable',
    `The container cannot reach this process: a relay was started in it by way of the engine (${engineLabel}), and ${failed.lost}. ` +
      'Try again; if it stays so, use another engine, on this machine (DOCKER_HOST).',
  )
}

function reasonOf(broken: FrameError | undefined, stderrTail: string) {
  const lost = `the relay to the host ended${stderrTail ? `; its last words: ${quote(stderrTail)}` : ''}`
  if (!broken) return { lost }
  const message = `The relay in the container sent ${broken.message}; it was stopped.`
  return { lost, error: new CodexboxError('protocol-violation', message, { cause: broken }) }
}
