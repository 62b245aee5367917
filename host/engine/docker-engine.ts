import { type Duplex, PassThrough } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import type Dockerode from 'dockerode'
import { CodexboxError, messageOf, systemCodeOf } from '../../shared/errors.ts'
import { setupCommand } from '../package-root.ts'
import { containerOptions, inside } from './container-options.ts'
import { demultiplex, StreamFormatError } from './demultiplex.ts'
import { type AgentExit, type AgentProcess, type AgentSpec, type Engine, tailOf } from './engine.ts'

/** An engine that does not answer within this is as good as none. */
const ANSWER_MS = 10_000

/** Starting a container may take longer, on a machine that is busy. */
const START_MS = 60_000

/** Runs agents in containers, through any socket that speaks the Docker API. */
export function dockerEngine(docker: Dockerode, image: string, where: string): Engine {
  return {
    name: 'docker',
    description: `Docker engine (${where})`,

    async check() {
      try {
        const pong = String(await ask(docker.ping(), where))
        if (pong !== 'OK') throw new Error('what answers there is no container engine')
      } catch (error) {
        throw unavailable(where, error)
      }
      try {
        await ask(docker.getImage(image).inspect(), where)
      } catch (error) {
        throw statusOf(error) === 404 ? imageMissing(image, error) : unavailable(where, error)
      }
    },

    async start(spec) {
      const container = await create(docker, spec, image, where)
      try {
        return await attachAndStart(container, spec, { image, where })
      } catch (error) {
        await remove(container)
        throw startFailed(image, error)
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
  { image, where }: { image: string; where: string },
): Promise<AgentProcess> {
  // Attached before the start, or the first output would be missed; the same holds for the exit.
  const stream = (await ask(
    container.attach({ stream: true, stdin: true, stdout: true, stderr: true, hijack: true }),
    where,
  )) as Duplex
  const stdout = new PassThrough()
  const stderr = new PassThrough()
  const stderrTail = tailOf(stderr)
  stream.on('error', () => stream.destroy())
  const outputEnded = demultiplex(stream, { stdout, stderr })
    .catch((error: unknown) => {
      // A connection that broke is an end like any other: `exited` tells what it was.
      if (error instanceof StreamFormatError) stdout.destroy(error)
    })
    .finally(() => {
      stdout.end()
      stderr.end()
    })
  const exited = exitOf(container, outputEnded, where).then((exit) =>
    'lost' in exit ? exit : unlessUnusable(exit, image, stderrTail, outputEnded),
  )

  try {
    await ask(container.start(), where, START_MS)
  } catch (error) {
    stream.destroy()
    throw error
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
    async stop(graceMs) {
      if (graceMs > 0) await askToLeave(container, exited, graceMs)
      // An engine that does not answer will not end the output either, which somebody may read.
      if (!(await remove(container))) stream.destroy()
    },
  }
}

/** The end of the output is no proof of an end: only the engine's word on the exit is. */
async function exitOf(
  container: Dockerode.Container,
  outputEnded: Promise<void>,
  where: string,
): Promise<AgentExit> {
  const waited = container.wait({ condition: 'next-exit' }).then(
    ({ StatusCode }: { StatusCode: number }): AgentExit => ({ code: StatusCode, signal: null }),
    (error: unknown): AgentExit => ({ lost: `the engine did not answer: ${messageOf(error)}` }),
  )
  // The request that waits does not notice when the engine vanishes.
  const silent = outputEnded.then(async (): Promise<AgentExit> => {
    const isThere = await ask(container.inspect(), where).then(
      () => true,
      (error: unknown) => statusOf(error) !== undefined,
    )
    if (!isThere) return { lost: 'its output ended and the engine cannot be asked why' }
    await sleep(ANSWER_MS, undefined, { ref: false })
    return { lost: 'its output ended and the engine does not say why' }
  })
  return Promise.race([waited, silent])
}

/**
 * The engine starts its init process, which exists in every image; only that one finds out that there
 * is no node, or none for this machine, and can but exit and say so.
 */
async function unlessUnusable(
  exit: Extract<AgentExit, { code: unknown }>,
  image: string,
  stderrTail: () => string,
  outputEnded: Promise<void>,
): Promise<AgentExit> {
  if (exit.code === 0 || exit.code === KILLED) return exit
  await Promise.race([outputEnded, sleep(LAST_WORDS_MS, undefined, { ref: false })])
  const said = /exec node failed: (.+)|failed to exec.*/i.exec(stderrTail())
  if (!said) return exit
  const error = imageUnusable(image, said[1] ?? said[0])
  return { lost: error.message, error }
}

/** The exit code after SIGKILL, such as our own. */
const KILLED = 137

/** How much later than the exit the last output may come. */
const LAST_WORDS_MS = 1000

async function askToLeave(
  container: Dockerode.Container,
  exited: Promise<AgentExit>,
  graceMs: number,
): Promise<void> {
  void container.stop({ t: Math.ceil(graceMs / 1000) }).catch(() => {}) // Removed by force in the end.
  await Promise.race([exited, sleep(graceMs, undefined, { ref: false })])
}

/**
 * Removes a container, running or not. Never rejects: false when the engine does not say that it is
 * gone. It goes all the same then, as soon as the engine notices that nobody is attached.
 */
async function remove(container: Dockerode.Container): Promise<boolean> {
  const removed = container.remove({ force: true }).then(
    () => true,
    (error: unknown) => {
      if (statusOf(error) !== 409) return statusOf(error) === 404
      // The engine is at it already, because the container has ended.
      return container.wait({ condition: 'removed' }).then(
        () => true,
        (waitError: unknown) => statusOf(waitError) === 404,
      )
    },
  )
  return Promise.race([removed, sleep(ANSWER_MS, false, { ref: false })])
}

/** An engine's answer in bounded time, a missing engine as a sentence. */
async function ask<T>(answer: Promise<T>, where: string, answerMs = ANSWER_MS): Promise<T> {
  const late = new AbortController()
  try {
    return await Promise.race([
      answer,
      sleep(answerMs, undefined, { signal: late.signal }).then((): never => {
        throw new Error(`no answer within ${answerMs / 1000} s`)
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
  if (cause instanceof CodexboxError) return cause
  const hint =
    systemCodeOf(cause) === 'EACCES'
      ? 'This user may not talk to it: join the group that owns the socket (often `docker`), then log in anew.'
      : 'Start Docker, or set DOCKER_HOST to where it listens.'
  return new CodexboxError(
    'engine-unavailable',
    `The Docker engine (${where}) cannot be used: ${messageOf(cause).trim()}. ${hint}`,
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
  const message = messageOf(cause).trim()
  if (/executable file not found|no such file or directory.*node/i.test(message)) {
    return imageUnusable(image, 'there is none in its PATH', cause)
  }
  if (cause instanceof CodexboxError) return cause
  return new CodexboxError(
    'engine-unavailable',
    `The engine could not start the container: ${message}.`,
    { cause },
  )
}

function imageUnusable(image: string, why: string, cause?: unknown): CodexboxError {
  return new CodexboxError(
    'image-unusable',
    `The image ${image} cannot run node (${why}). Use an image with Node 20 or newer and bash, or make ours with \`${setupCommand('image')} --force\`.`,
    { cause },
  )
}

function statusOf(error: unknown): number | undefined {
  const status = error instanceof Error && 'statusCode' in error ? error.statusCode : undefined
  return typeof status === 'number' ? status : undefined
}
