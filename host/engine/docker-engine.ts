import { type Duplex, PassThrough } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import type Dockerode from 'dockerode'
import { CodexboxError, messageOf } from '../../shared/errors.ts'
import { notKeptApart } from '../../shared/not-kept-apart.ts'
import { quote } from '../../shared/visible-text.ts'
import { setupCommand } from '../package-root.ts'
import type { Pin } from '../workspace/pin-git.ts'
import { attach } from './attach.ts'
import { containerLost } from './container-lost.ts'
import { demultiplex, StreamFormatError } from './demultiplex.ts'
import { type AgentExit, type AgentProcess, type AgentSpec, type Engine, tailOf } from './engine.ts'
import {
  ANSWER_MS,
  engineRequest,
  engineUnavailable,
  hadNoAnswer,
  ping,
  statusOf,
} from './engine-request.ts'
import { toolEnvironment } from './environment.ts'
import { unlessEngineHangs, watchContainer } from './health-watch.ts'
import { type HeldMount, holdMounts } from './held-mounts.ts'
import { type ImageSettings, imageMissing, imageSettings } from './image-settings.ts'
import { EndedError } from './kernel-mounts.ts'
import { checkMounts, LinkedNamesError } from './mount-check.ts'
import { askIfPodman, optionsForPodman } from './podman.ts'
import type { Relay } from './relay.ts'
import { removeContainer } from './remove-container.ts'
import {
  askIfRootless,
  checkRootless,
  optionsForRootless,
  type Rootless,
  unboundedError,
  withAdviceOnLimits,
} from './rootless.ts'
import { containerOptions, inside } from './sandbox-policy.ts'
import { END_MS, openHostChannel, whySocketsAreNotShared } from './socket-or-relay.ts'
import { untilStarted } from './starting-containers.ts'
import { makeNameFiles, nameOf } from './user-names.ts'
import { hasComma, policyDeviations } from './verify-policy.ts'
import { workspaceSharers } from './workspace-sharers.ts'

/** A busy machine may need this long to create and start a container. */
const START_MS = 60_000

/** Runs agents in containers, through any socket that speaks the Docker API. */
export function dockerEngine(docker: Dockerode, image: string, engineLabel: string): Engine {
  /** Why sockets cannot be mounted; learned once. */
  let whyNot = whySocketsAreNotShared(docker)
  /** Learned once: the image has a link at a mount target of the passwd and group files. */
  let usesImageNames = false
  let cached: Promise<Rootless | undefined> | undefined
  /** Cached; a request without an answer is repeated. */
  const rootless = () => {
    cached ??= engineRequest((abortSignal) => askIfRootless(docker, abortSignal), engineLabel)
    cached.catch(() => {
      cached = undefined
    })
    return cached
  }
  let cachedIsPodman: Promise<boolean> | undefined
  const isPodman = () => {
    cachedIsPodman ??= askIfPodman(docker, engineLabel)
    cachedIsPodman.catch(() => {
      cachedIsPodman = undefined
    })
    return cachedIsPodman
  }
  return {
    name: 'docker',
    description: `Docker engine (${engineLabel})`,

    async check() {
      try {
        const pong = String(
          await engineRequest((abortSignal) => ping(docker, abortSignal), engineLabel),
        )
        if (pong !== 'OK') throw new Error('what answers there is no container engine')
      } catch (error) {
        throw engineUnavailable(engineLabel, error)
      }
      try {
        const [rootlessEngine] = await Promise.all([
          rootless(),
          imageSettings(docker, image, engineLabel),
        ])
        if (rootlessEngine) checkRootless(rootlessEngine, engineLabel)
      } catch (error) {
        throw engineUnavailable(engineLabel, error)
      }
    },

    async start(spec) {
      const rootlessEngine = await rootless()
      if (rootlessEngine) checkRootless(rootlessEngine, engineLabel, spec.user)
      const [settings, onPodman] = await Promise.all([
        imageSettings(docker, image, engineLabel),
        isPodman(),
      ])
      const startWith = async (pinned: readonly Pin[]): Promise<AgentProcess | readonly Pin[]> => {
        const pinnedSpec = { ...spec, pinned, usesImageNames }
        const agentSpec = whyNot ? { ...pinnedSpec, socketFolder: undefined } : pinnedSpec
        const usual = containerOptions(agentSpec, image, settings)
        const ofEngine = onPodman ? optionsForPodman(usual) : usual
        const options = rootlessEngine ? optionsForRootless(ofEngine) : ofEngine
        if (agentSpec.socketFolder) makeNameFiles(agentSpec.socketFolder, spec.user)
        const { mounts, release } = holdMounts(agentSpec)
        try {
          const container = await create(docker, options, image, engineLabel).catch((error) => {
            throw withAdviceOnCommas(error, options)
          })
          // Attached before the start, or the first output would be missed.
          const attached = engineRequest(
            (signal) => attach(docker, container.id, signal),
            engineLabel,
          )
          const detach = () => void attached.then((stream) => stream.destroy()).catch(() => {})
          try {
            // Listed after creation, so that of two concurrent starts the later sees the other.
            const [sharedWith, stream] = await Promise.all([
              workspaceSharers(docker, { ...pinnedSpec, id: container.id }, engineLabel),
              attached,
              checkPolicy(container, options, engineLabel),
            ])
            const first = sharedWith.filter(({ goesFirst }) => goesFirst)
            if (first.length > 0) {
              detach()
              await removeContainer(container)
              await untilStarted(docker, first, engineLabel)
              return pinned
            }
            const fixed = pinned.filter(({ at }) => sharedWith.every(({ holds }) => holds(at)))
            if (fixed.length < pinned.length) {
              detach()
              await removeContainer(container)
              return fixed
            }
            const inMemory = Object.keys(options.HostConfig.Tmpfs ?? {})
            const started = { image, settings, engineLabel, whyNot, mounts, inMemory }
            const agent = await startAttached(docker, container, stream, spec, started)
            whyNot ??= agent.relayed?.because
            return { ...agent, sharedWith }
          } catch (error) {
            detach()
            const removed = removeContainer(container)
            if (error instanceof LinkedNamesError) {
              await removed
              usesImageNames = true
              return pinned
            }
            // The removal is tried in any case, but not awaited on an engine that gave no answer.
            if (!hadNoAnswer(error)) await removed
            const failure = withAdviceOnCommas(startFailed(image, error), options)
            throw rootlessEngine ? withAdviceOnLimits(failure) : failure
          }
        } finally {
          release()
        }
      }

      const { pinned = [] } = spec
      let tried = pinned
      for (let misses = 0; ; ) {
        // An engine resolves the target of a mount inside the workspace. Tools that can move that target could
        // have it mounted over programs of the image, so such a target is not mounted.
        const started = await startWith(tried).catch((error: unknown) => {
          // The last match is the deepest: a folder comes before its contents.
          const missing = tried.findLast(({ path }) => isMissing(path, error))
          if (!missing) throw error
          if (++misses === MAX_MISSES) throw movedAway(missing.path, error)
          return tried
        })
        if (!isPins(started)) {
          const unpinned = pinned.filter((pin) => !tried.includes(pin)).map(({ at }) => at)
          return { ...started, unpinned }
        }
        tried = started
      }
    },
  }
}

/** How often the engine may miss the source of a mount that a tool moves to and fro. */
const MAX_MISSES = 10

const isPins = (started: AgentProcess | readonly Pin[]): started is readonly Pin[] =>
  Array.isArray(started)

/** Docker and Podman use these phrases. */
function isMissing(path: string, error: unknown): boolean {
  const message = messageOf(error)
  return (
    message.includes(path) &&
    /does not exist|no such file or directory|not a directory/i.test(message)
  )
}

function movedAway(path: string, cause: unknown): CodexboxError {
  return new CodexboxError(
    'workspace-invalid',
    `${path} was gone each of ${MAX_MISSES} times that a container was to be made with it. ` +
      'Find out which program changes that folder, such as another conversation in it, and try again.',
    { cause },
  )
}

async function create(
  docker: Dockerode,
  options: Dockerode.ContainerCreateOptions,
  image: string,
  engineLabel: string,
) {
  try {
    // The first container of an image may take long. Podman leaves half a container, and does not list it, when the
    // request is aborted.
    return await engineRequest(
      (abortSignal) =>
        unlessEngineHangs(docker, engineLabel, docker.createContainer({ ...options, abortSignal })),
      engineLabel,
      START_MS,
    )
  } catch (error) {
    // The container may have been created after the deadline.
    if (statusOf(error) === undefined && options.name) {
      void removeContainer(docker.getContainer(options.name))
    }
    if (statusOf(error) === 404) throw imageMissing(image, error)
    throw startFailed(image, error)
  }
}

/** The options sent prove nothing: the container as the engine reports it has to match them. */
async function checkPolicy(
  container: Dockerode.Container,
  options: Dockerode.ContainerCreateOptions,
  engineLabel: string,
): Promise<void> {
  const deviations = policyDeviations(
    await engineRequest((abortSignal) => container.inspect({ abortSignal }), engineLabel),
    options,
  )
  if (deviations.length === 0) return
  const listed = deviations.map(
    ({ field, is, asked }) =>
      `${field} is ${JSON.stringify(is)} instead of ${JSON.stringify(asked)}`,
  )
  throw new CodexboxError(
    'engine-unavailable',
    `The engine (${engineLabel}) made a container that is weaker than what was asked for: ${listed.join('; ')}. ` +
      'Nothing was started in it. Look into the settings of the engine, or use another one.',
  )
}

function withAdviceOnCommas(
  error: unknown,
  { HostConfig }: Dockerode.ContainerCreateOptions,
): unknown {
  const path = HostConfig?.Mounts?.map(({ Source }) => Source).find(hasComma)
  if (!path || !(error instanceof CodexboxError) || error.code !== 'engine-unavailable')
    return error
  return new CodexboxError(
    error.code,
    `${error.message} There is a comma in the path ${path}, which not every engine can mount (Podman does not): rename it.`,
    { cause: error.cause },
  )
}

interface Start {
  image: string
  settings: ImageSettings
  engineLabel: string
  /** Why sockets cannot be mounted, where that is known. */
  whyNot: string | undefined
  mounts: HeldMount[]
  inMemory: string[]
}

async function startAttached(
  docker: Dockerode,
  container: Dockerode.Container,
  stream: Duplex,
  spec: AgentSpec,
  { image, settings, engineLabel, whyNot, mounts, inMemory }: Start,
): Promise<AgentProcess> {
  const stdout = new PassThrough()
  const stderr = new PassThrough()
  const stderrTail = tailOf(stderr)
  const outputEnded = demultiplex(stream, { stdout, stderr })
    .catch((error: unknown) => {
      // A broken connection counts as an end: `exited` has the reason.
      if (error instanceof StreamFormatError) stdout.destroy(error)
    })
    .finally(() => {
      stdout.end()
      stderr.end()
    })
  const exitSeen = new AbortController()
  // Requested before the start, or the exit might be missed.
  const ended = exitOf(container, outputEnded, engineLabel, exitSeen.signal)

  try {
    await engineRequest(
      (abortSignal) => unlessEngineHangs(docker, engineLabel, container.start({ abortSignal })),
      engineLabel,
      START_MS,
    )
  } catch (error) {
    stream.destroy()
    throw error
  }
  const checked = checkMounts(container, { stdout, stdin: stream, mounts, inMemory, engineLabel })
  // No relay starts in the container before its mounts are checked.
  const opening = checked.then(() =>
    openHostChannel(docker, container, spec, { whyNot, engineLabel, ended }),
  )
  const channel = await unlessEngineHangs(docker, engineLabel, opening).catch(async (error) => {
    // The relay may still come up; close it if so.
    void opening.then(({ relay }) => relay?.close()).catch(() => {})
    try {
      if (!(error instanceof EndedError)) throw error
      // The last output may still be in transit.
      const exit = await unlessUnusable(
        await ended,
        { image, engineLabel },
        stderrTail,
        outputEnded,
      )
      throw containerLost(exit, stderrTail())
    } finally {
      stream.destroy()
    }
  })
  // Watched from here on: while an engine starts a container, it answers no request about it.
  let isLost = false
  const exited = unlessLost(ended, container, channel.relay).then((exit) => {
    // Open requests to the engine must not keep this process alive.
    exitSeen.abort()
    channel.relay?.close()
    if (!('lost' in exit))
      return unlessUnusable(exit, { image, engineLabel }, stderrTail, outputEnded)
    isLost = true
    // Unblocks readers: no more output will come.
    stream.destroy()
    return exit
  })
  return {
    view: {
      workspace: inside.workspace,
      socketPath: channel.socketPath,
      worker: spec.user,
      toolEnvironment: toolEnvironment(settings, nameOf(spec.user)),
    },
    ...(channel.relayed ? { relayed: channel.relayed } : {}),
    stdin: stream,
    stdout,
    stderrTail,
    exited,
    async stop(graceMs) {
      if (graceMs > 0 && !isLost) await askToLeave(container, exited, graceMs)
      const removed = removeContainer(container)
      // The removal is tried in any case, but not awaited on an engine that gave no answer.
      if (isLost) return
      // An engine that does not answer does not end the output either, and the reader would wait. The container
      // still ends as soon as the engine notices that its stdin has ended.
      if (!(await removed)) stream.destroy()
    },
  }
}

/** The end of the output does not prove an exit: only the engine's answer to `wait` does. */
async function exitOf(
  container: Dockerode.Container,
  outputEnded: Promise<void>,
  engineLabel: string,
  abortSignal: AbortSignal,
): Promise<AgentExit> {
  const waited = container.wait({ condition: 'next-exit', abortSignal }).then(
    ({ StatusCode }: { StatusCode: number }): AgentExit => ({ code: StatusCode, signal: null }),
    (error: unknown): AgentExit => ({ lost: `the engine did not answer: ${messageOf(error)}` }),
  )
  // The `wait` request does not notice when the engine vanishes.
  const silent = outputEnded.then(async (): Promise<AgentExit> => {
    if (abortSignal.aborted) return { lost: 'its output was given up' }
    const isThere = await engineRequest(
      (abortSignal) => container.inspect({ abortSignal }),
      engineLabel,
    ).then(
      () => true,
      (error: unknown) => statusOf(error) !== undefined,
    )
    if (!isThere) return { lost: 'its output ended and the engine cannot be asked why' }
    await sleep(ANSWER_MS, undefined, { ref: false })
    return { lost: 'its output ended and the engine does not say why' }
  })
  return Promise.race([waited, silent])
}

/** A hanging engine, a paused container and a container without its relay would never settle `ended`. */
async function unlessLost(
  ended: Promise<AgentExit>,
  container: Dockerode.Container,
  relay: Relay | undefined,
): Promise<AgentExit> {
  const watching = new AbortController()
  void ended.then(() => watching.abort())
  const lost = watchContainer(container, watching.signal).then(
    (reason) => reason && { lost: reason },
  )
  const exit = await Promise.race([ended, lost, ...(relay ? [lossOf(relay, ended)] : [])])
  watching.abort()
  return exit || ended
}

async function lossOf(relay: Relay, ended: Promise<AgentExit>): Promise<AgentExit> {
  const reason = await relay.ended
  if (reason.error) return reason
  return Promise.race([ended, sleep(END_MS, reason, { ref: false })])
}

/**
 * The engine starts its init process, which exists in every image. Only the init process finds out that
 * node is missing or built for another machine; it exits with a message. So does `setpriv` when it fails.
 */
async function unlessUnusable(
  exit: AgentExit,
  { image, engineLabel }: { image: string; engineLabel: string },
  stderrTail: () => string,
  outputEnded: Promise<void>,
): Promise<AgentExit> {
  if ('lost' in exit || exit.code === 0 || exit.code === KILLED) return exit
  await Promise.race([outputEnded, sleep(LAST_OUTPUT_MS, undefined, { ref: false })])
  const unbounded = unboundedError(stderrTail(), engineLabel)
  if (unbounded) return { lost: unbounded.message, error: unbounded }
  const error = errorOfImage(image, stderrTail())
  return error ? { lost: error.message, error } : exit
}

function errorOfImage(image: string, stderr: string): CodexboxError | undefined {
  const why = whyNoNode(stderr)
  if (why) return imageUnusable(image, why)
  const [, whyNot] = /^setpriv: (.+)/m.exec(stderr) ?? []
  return whyNot === undefined ? undefined : notKeptApart(0, `setpriv says: ${quote(whyNot)}`)
}

function whyNoNode(stderr: string): string | undefined {
  // The shell runs a file that the kernel does not accept as a program, and fails at its first word.
  if (/\bnode: .*(\bELF|cannot execute binary|exec format)/i.test(stderr)) {
    return 'it is made for another kind of machine'
  }
  const words = /exec:? node(?: failed)?: (.+)|failed to exec.*/i.exec(stderr)
  return words ? `it says: ${quote(words[1] ?? words[0])}` : undefined
}

/** The exit code after SIGKILL, such as the one sent by `stop`. */
const KILLED = 137

/** How much later than the exit the last output may come. */
const LAST_OUTPUT_MS = 1000

async function askToLeave(
  container: Dockerode.Container,
  exited: Promise<AgentExit>,
  graceMs: number,
): Promise<void> {
  void container.stop({ t: Math.ceil(graceMs / 1000) }).catch(() => {}) // The removal that follows is forced.
  await Promise.race([exited, sleep(graceMs, undefined, { ref: false })])
}

function startFailed(image: string, cause: unknown): unknown {
  if (cause instanceof CodexboxError) return cause
  const message = messageOf(cause).trim()
  if (/setpriv.*not found/i.test(message)) {
    return notKeptApart(0, 'there is no setpriv in the image')
  }
  if (/executable file not found|no such file or directory.*node/i.test(message)) {
    return imageUnusable(image, 'there is none in its PATH', cause)
  }
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
