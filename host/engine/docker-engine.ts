import { once } from 'node:events'
import { type Duplex, PassThrough } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import type Dockerode from 'dockerode'
import { CodexboxError, messageOf, systemCodeOf } from '../../shared/errors.ts'
import { setupCommand } from '../package-root.ts'
import { containerOptions, inside } from './container-options.ts'
import { demultiplex } from './demultiplex.ts'
import { type AgentExit, type AgentProcess, type AgentSpec, type Engine, tailOf } from './engine.ts'

/** An engine that does not answer within this is as good as none. */
const ANSWER_MS = 10_000

/** Runs agents in containers, through any socket that speaks the Docker API. */
export function dockerEngine(docker: Dockerode, image: string, where: string): Engine {
  return {
    name: 'docker',
    description: `Docker engine (${where})`,

    async check() {
      await ask(docker.ping(), where)
      try {
        await ask(docker.getImage(image).inspect(), where)
      } catch (error) {
        throw statusOf(error) === 404 ? imageMissing(image, error) : error
      }
    },

    async start(spec) {
      const container = await create(docker, spec, image, where)
      try {
        return await attachAndStart(container, spec, image)
      } catch (error) {
        await container.remove({ force: true }).catch(ignoreGone)
        throw error
      }
    },
  }
}

async function create(docker: Dockerode, spec: AgentSpec, image: string, where: string) {
  try {
    return await ask(docker.createContainer(containerOptions(spec, image)), where)
  } catch (error) {
    if (statusOf(error) === 404) throw imageMissing(image, error)
    throw startFailed(image, error)
  }
}

async function attachAndStart(
  container: Dockerode.Container,
  spec: AgentSpec,
  image: string,
): Promise<AgentProcess> {
  // Attached before the start, or the first output would be missed; the same holds for the exit.
  const stream = (await container.attach({
    stream: true,
    stdin: true,
    stdout: true,
    stderr: true,
    hijack: true,
  })) as Duplex
  const stdout = new PassThrough()
  const stderr = new PassThrough()
  const stderrTail = tailOf(stderr)
  // However the stream ends, the reader of stdout sees an end, and `exited` tells what it was.
  stream.on('error', () => stream.destroy())
  void demultiplex(stream, { stdout, stderr })
    .catch((error: unknown) => stdout.destroy(error as Error))
    .finally(() => {
      stdout.end()
      stderr.end()
    })
  const exited = exitOf(container, stdout)

  try {
    await container.start()
  } catch (error) {
    stream.destroy()
    throw startFailed(image, error)
  }
  return {
    view: {
      workspace: inside.workspace,
      socketPath: spec.socketFolder && inside.socketPath,
      worker: spec.user,
    },
    stdin: stream,
    stdout,
    stderrTail,
    exited,
    stop: (graceMs) => stop(container, exited, graceMs),
  }
}

/** The end of the output is no proof of an end: only the engine's word on the exit is. */
async function exitOf(container: Dockerode.Container, stdout: PassThrough): Promise<AgentExit> {
  const waited = container.wait({ condition: 'next-exit' }).then(
    ({ StatusCode }: { StatusCode: number }): AgentExit => ({ code: StatusCode, signal: null }),
    (error: unknown): AgentExit => ({ lost: `the engine did not answer: ${messageOf(error)}` }),
  )
  // The engine may vanish without closing the request that waits for it.
  const silent = once(stdout, 'close').then(async (): Promise<AgentExit> => {
    await sleep(ANSWER_MS, undefined, { ref: false })
    return { lost: 'its output ended and the engine does not say why' }
  })
  return Promise.race([waited, silent])
}

async function stop(
  container: Dockerode.Container,
  exited: Promise<AgentExit>,
  graceMs: number,
): Promise<void> {
  if (graceMs > 0) {
    const seconds = Math.ceil(graceMs / 1000)
    void container.stop({ t: seconds }).catch(() => {}) // Removed by force below, if need be.
    await Promise.race([exited, sleep(graceMs, undefined, { ref: false })])
  }
  // The engine removes it by itself; asking makes sure, also of one that did not start.
  const removed = container.remove({ force: true }).catch(ignoreGone)
  await Promise.race([removed, sleep(ANSWER_MS, undefined, { ref: false })])
}

/** An engine's answer in bounded time, a missing engine as a sentence. */
async function ask<T>(answer: Promise<T>, where: string): Promise<T> {
  const late = new AbortController()
  try {
    return await Promise.race([
      answer,
      sleep(ANSWER_MS, undefined, { signal: late.signal }).then((): never => {
        throw new Error(`no answer within ${ANSWER_MS / 1000} s`)
      }),
    ])
  } catch (error) {
    if (statusOf(error) !== undefined) throw error
    throw unavailable(where, error)
  } finally {
    late.abort()
  }
}

function unavailable(where: string, cause: unknown): CodexboxError {
  const hint =
    systemCodeOf(cause) === 'EACCES'
      ? 'This user may not talk to it: join the group that owns the socket (often `docker`), then log in anew.'
      : 'Start Docker, or set DOCKER_HOST to where it listens.'
  return new CodexboxError(
    'engine-unavailable',
    `The Docker engine (${where}) cannot be used: ${messageOf(cause)}. ${hint}`,
    { cause },
  )
}

function imageMissing(image: string, cause: unknown): CodexboxError {
  return new CodexboxError(
    'image-missing',
    `There is no image ${image}. Make it with \`${setupCommand('image')}\`, or name another with AGENT_IMAGE.`,
    { cause },
  )
}

function startFailed(image: string, cause: unknown): unknown {
  const message = messageOf(cause)
  if (/executable file not found|no such file or directory.*node/i.test(message)) {
    return new CodexboxError(
      'image-unusable',
      `The image ${image} has no node in its PATH. Use an image with Node 20 or newer and bash, or make ours with \`${setupCommand('image')} --force\`.`,
      { cause },
    )
  }
  if (cause instanceof CodexboxError) return cause
  return new CodexboxError(
    'engine-unavailable',
    `The engine could not start the container: ${message}.`,
    {
      cause,
    },
  )
}

function statusOf(error: unknown): number | undefined {
  const status = error instanceof Error && 'statusCode' in error ? error.statusCode : undefined
  return typeof status === 'number' ? status : undefined
}

/** 404: it is gone. 409: it is being removed already. */
function ignoreGone(error: unknown): void {
  const status = statusOf(error)
  if (status !== 404 && status !== 409) throw error
}
