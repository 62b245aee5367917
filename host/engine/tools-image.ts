import { randomBytes } from 'node:crypto'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { PassThrough, type Readable } from 'node:stream'
import { finished } from 'node:stream/promises'
import { stripVTControlCharacters } from 'node:util'
import type Dockerode from 'dockerode'
import { z } from 'zod'
import { CodexboxError, messageOf } from '../../shared/errors.ts'
import { quote } from '../../shared/visible-text.ts'
import { packageRoot, setupCommand } from '../package-root.ts'
import { demultiplex } from './demultiplex.ts'
import { tailOf } from './engine.ts'
import { statusOf } from './engine-request.ts'
import { type ImageSettings, imageMissing, settingsIn } from './image-settings.ts'
import { hostOwnerLabels } from './owner-labels.ts'
import { removeContainer } from './remove-container.ts'
import { environmentOf } from './sandbox-policy.ts'

/**
 * Marks the images made here. Not the label of our containers: a container inherits the labels of its
 * image, and the reaper must not touch a user's own `docker run` of it.
 */
export const TOOLS_IMAGE_LABEL = 'codexbox.tools-image'

/**
 * Imports a tar with a root filesystem as the image `tag`.
 * @throws CodexboxError `wrong-use` (no such file), `image-unusable` (the engine refused it),
 * `engine-unavailable`
 */
export async function importRootfs(docker: Dockerode, tarPath: string, tag: string): Promise<void> {
  const file = await open(tarPath).catch((error: unknown) => {
    throw new CodexboxError('wrong-use', `Cannot read ${tarPath}: ${messageOf(error)}.`, {
      cause: error,
    })
  })
  const content = file.createReadStream()
  try {
    const progress = await docker.importImage(content, {
      repo: tag,
      changes: [`LABEL ${TOOLS_IMAGE_LABEL}=1`, 'CMD ["bash"]'],
    })
    await follow(progress)
  } catch (error) {
    throw failed(`Importing ${tarPath} as ${tag}`, error)
  } finally {
    // An engine that refuses early does not read the whole file.
    content.destroy()
  }
}

/**
 * Builds the image `tag` from container/Dockerfile, on `base` or the Dockerfile's default.
 * `onProgress` gets the build's output line by line.
 * @throws CodexboxError `image-unusable` with the end of the output, `engine-unavailable`
 */
export async function buildToolsImage(
  docker: Dockerode,
  options: { base?: string | undefined; tag: string; fresh?: boolean },
  onProgress: (line: string) => void = () => {},
): Promise<void> {
  const { base, tag, fresh = false } = options
  try {
    const progress = await docker.buildImage(
      { context: join(packageRoot, 'container'), src: ['Dockerfile'] },
      {
        t: tag,
        labels: { [TOOLS_IMAGE_LABEL]: '1' },
        nocache: fresh,
        // Removes the containers of failed steps.
        rm: true,
        forcerm: true,
        ...(base ? { buildargs: { BASE: base } } : {}),
      },
    )
    await follow(progress, onProgress)
  } catch (error) {
    throw failed(`Building ${tag}${base ? ` on ${base}` : ''}`, error)
  }
}

export interface Tools {
  nodeVersion: string
  bashVersion: string
}

/**
 * Starts a throw-away container of `image` to check that an agent could run in it. `subject` and
 * `advice` begin and end the message about an unusable image.
 * @throws CodexboxError `image-missing`, `image-unusable`, `engine-unavailable`
 */
export async function inspectTools(
  docker: Dockerode,
  image: string,
  {
    subject = `The image ${image}`,
    advice = `Name one with Node ${MIN_NODE} or newer and bash (AGENT_IMAGE), or make ours: \`${setupCommand('image')} --force\`.`,
    deadlineMs = 60_000,
  } = {},
): Promise<Tools> {
  const unusable = (what: string, cause?: unknown) =>
    new CodexboxError('image-unusable', `${subject} ${what}. ${advice}`, { cause })

  const { stdout, stderr } = await runProbe(docker, image, deadlineMs, unusable)
  const report = readReport(stdout)
  if (!report) {
    const output = stderr || stdout
    throw unusable(`has a node that does not work${output ? ` (it says: ${quote(output)})` : ''}`)
  }
  if (Number.parseInt(report.node, 10) < MIN_NODE) {
    throw unusable(`has Node ${report.node}, which is too old: ${MIN_NODE} or newer is needed`)
  }
  if (!report.bash) throw unusable('has no bash')
  return { nodeVersion: report.node, bashVersion: report.bash }
}

const MIN_NODE = 20

// ---- Import and build ----

const ProgressLine = z.looseObject({
  stream: z.string().optional(),
  status: z.string().optional(),
  error: z.string().optional(),
})

/** The engine's error after it had already sent HTTP status 200. */
class EngineRefusal extends Error {}

/** How much of the output an error repeats. */
const LAST_LINES = 15

/** Reads a progress stream (JSON lines) to its end. */
async function follow(
  progress: NodeJS.ReadableStream,
  onLine: (line: string) => void = () => {},
): Promise<void> {
  const last: string[] = []
  for await (const json of lines(progress as Readable)) {
    const line = ProgressLine.parse(JSON.parse(json))
    if (line.error !== undefined) {
      throw new EngineRefusal([...last, stripVTControlCharacters(line.error)].join('\n'))
    }
    // The build's output arrives in chunks of any size, mostly lines.
    for (const text of (line.stream ?? '').split(/\r?\n/)) {
      const clean = stripVTControlCharacters(text).trimEnd()
      if (!clean) continue
      onLine(clean)
      last.push(clean)
      if (last.length > LAST_LINES) last.shift()
    }
  }
}

/** Hand-written, because readline of Node 20 swallows errors of its input stream. */
async function* lines(stream: Readable): AsyncGenerator<string> {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    const parts = (rest + decoder.decode(chunk, { stream: true })).split('\n')
    rest = parts.pop() ?? ''
    yield* parts.filter((line) => line.trim())
  }
  if (rest.trim()) yield rest
}

/** An error answer is a refusal; no answer means an unreachable engine. */
function failed(what: string, cause: unknown): CodexboxError {
  const isAnswer =
    cause instanceof EngineRefusal || (cause instanceof Error && 'statusCode' in cause)
  return new CodexboxError(
    isAnswer ? 'image-unusable' : 'engine-unavailable',
    `${what} failed: ${messageOf(cause).trim()}${isAnswer ? '' : '. Is the engine running?'}`,
    { cause },
  )
}

// ---- Inspection ----

/** ES5: the probe has to run on the old versions that it reports. */
const PROBE = `
var bash = require('child_process').spawnSync('bash', ['-c', 'echo "$BASH_VERSION"'])
console.log(JSON.stringify({ node: process.versions.node, bash: String(bash.stdout || '').trim() }))
`

const Report = z.object({ node: z.string(), bash: z.string() })

function readReport(stdout: string): z.infer<typeof Report> | undefined {
  try {
    return Report.parse(JSON.parse(stdout))
  } catch {
    return undefined // The caller reports the actual output.
  }
}

async function runProbe(
  docker: Dockerode,
  image: string,
  deadlineMs: number,
  unusable: (what: string, cause: unknown) => CodexboxError,
): Promise<{ stdout: string; stderr: string }> {
  const abortSignal = AbortSignal.timeout(deadlineMs)
  try {
    const settings = settingsIn(await docker.getImage(image).inspect())
    const options = { ...probeOptions(image, settings), abortSignal }
    const container = await docker.createContainer(options)
    try {
      return await outputOf(container, abortSignal)
    } finally {
      await removeContainer(container)
    }
  } catch (error) {
    if (abortSignal.aborted) {
      throw unusable(`did not report its tools within ${deadlineMs / 1000} s`, error)
    }
    throw probeFailed(image, error, unusable)
  }
}

/** The agent's environment, the rights of the tools' user, and no access to the host. */
function probeOptions(
  image: string,
  settings: ImageSettings,
): Dockerode.ContainerCreateOptions & { UnsetEnvAll: boolean } {
  return {
    name: `codexbox-probe-${randomBytes(6).toString('hex')}`,
    Image: image,
    Entrypoint: ['node'],
    Cmd: ['-e', PROBE],
    User: '65534:65534',
    WorkingDir: '/',
    Env: environmentOf(settings),
    UnsetEnvAll: true,
    Healthcheck: { Test: ['NONE'] },
    Labels: hostOwnerLabels(),
    AttachStdout: true,
    AttachStderr: true,
    HostConfig: {
      NetworkMode: 'none',
      CapDrop: ['ALL'],
      SecurityOpt: ['no-new-privileges'],
      ReadonlyRootfs: true,
      PidsLimit: 64,
      Memory: 512 * 1024 * 1024,
      LogConfig: { Type: 'none', Config: {} },
      // The engine removes the container, even when this process is killed.
      AutoRemove: true,
    },
  }
}

async function outputOf(container: Dockerode.Container, abortSignal: AbortSignal) {
  // Attached before the start, or the first output would be missed.
  const stream = await container.attach({ stream: true, stdout: true, stderr: true, abortSignal })
  const [stdout, stderr] = [new PassThrough(), new PassThrough()]
  const [stdoutTail, stderrTail] = [tailOf(stdout), tailOf(stderr)]
  const copied = demultiplex(stream as unknown as AsyncIterable<Buffer>, { stdout, stderr })
  // The `await` below reports it, unless the start fails first.
  copied.catch(() => {})
  await container.start({ abortSignal })
  await copied
  // A destroyed stream ends as if the container had ended.
  abortSignal.throwIfAborted()
  await Promise.all([finished(stdout.end()), finished(stderr.end())])
  return { stdout: stdoutTail(), stderr: stderrTail() }
}

function probeFailed(
  image: string,
  error: unknown,
  unusable: (what: string, cause: unknown) => CodexboxError,
): CodexboxError {
  const message = messageOf(error).trim()
  const status = statusOf(error)
  if (status === undefined) {
    return new CodexboxError(
      'engine-unavailable',
      `Starting a container of ${image} failed: ${message}. Is the engine running?`,
      { cause: error },
    )
  }
  if (status === 404 && /no such image/i.test(message)) return imageMissing(image, error)
  if (/cgroup/i.test(message)) {
    return new CodexboxError(
      'engine-unavailable',
      `The engine could not start a container of ${image}: ${message}. Look into its settings, or use another one.`,
      { cause: error },
    )
  }
  if (/not found|no such file/i.test(message)) return unusable('has no node in its PATH', error)
  return unusable(`cannot be started: ${message}`, error)
}
