import { randomBytes } from 'node:crypto'
import { parseArgs } from 'node:util'
import type Dockerode from 'dockerode'
import { dockerEngine } from '../../host/engine/docker-engine.ts'
import { createDocker } from '../../host/engine/docker-host.ts'
import { isOwnImageName } from '../../host/engine/image-settings.ts'
import {
  buildToolsImage,
  importRootfs,
  inspectTools,
  TOOLS_IMAGE_LABEL,
} from '../../host/engine/tools-image.ts'
import { setupCommand } from '../../host/package-root.ts'
import { CodexboxError, messageOf } from '../../shared/errors.ts'
import type { Step, StepResult } from '../step.ts'

export const imageStep = createImageStep()

/** `connect` finds the engine; `onProgress` gets the lines of a build, which may take minutes. */
export function createImageStep({
  connect = createDocker,
  onProgress = (_line: string) => {},
}: {
  connect?: () => { docker: Dockerode; source: string }
  onProgress?: (line: string) => void
} = {}): Step {
  return {
    name: 'image',
    summary: 'Make the image with the tools that agents work with',

    async run(args, { image }) {
      const fields = { IMAGE: image, IMAGE_STATUS: 'failed' }
      let options: ImageOptions
      try {
        options = readOptions(args)
      } catch (error) {
        return { status: 'failed', fields, detail: messageOf(error), fix: USAGE, isWrongUse: true }
      }

      try {
        const { docker, source } = connect()
        if (!isNewRequested(options)) {
          const present = await checkExisting(docker, image, source)
          if (present) return present
        }
        return await make(docker, image, options, onProgress)
      } catch (error) {
        if (!(error instanceof CodexboxError)) throw error
        return {
          status: 'failed',
          fields,
          detail: error.message,
          fix: fixFor(error, image, options),
        }
      }
    },
  }
}

// ---- Arguments ----

const USAGE = `Use: ${setupCommand('image')} [--base IMAGE | --rootfs FILE.tar] [--force]`

interface ImageOptions {
  base?: string | undefined
  rootfs?: string | undefined
  force?: boolean | undefined
}

function readOptions(args: readonly string[]): ImageOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      base: { type: 'string' },
      rootfs: { type: 'string' },
      force: { type: 'boolean' },
    },
  })
  if (values.base === '' || values.rootfs === '') throw new Error('An option has an empty value.')
  if (values.base && values.rootfs) {
    throw new Error('--base and --rootfs exclude each other: one image has one origin.')
  }
  return values
}

function isNewRequested({ base, rootfs, force }: ImageOptions): boolean {
  return base !== undefined || rootfs !== undefined || force === true
}

// ---- The existing image ----

/** The result for an existing usable image; undefined when the tools image has to be built. */
async function checkExisting(
  docker: Dockerode,
  image: string,
  source: string,
): Promise<StepResult | undefined> {
  try {
    await dockerEngine(docker, image, source).check()
    const { nodeVersion } = await inspectTools(docker, image)
    return {
      status: 'unchanged',
      fields: { IMAGE: image, IMAGE_STATUS: 'already_present', NODE_VERSION: nodeVersion },
      detail: `The image ${image} is there and can be used (Node ${nodeVersion}).`,
    }
  } catch (error) {
    const isImage =
      error instanceof CodexboxError &&
      (error.code === 'image-missing' || error.code === 'image-unusable')
    // Only an explicit request may put a tools image under a foreign name.
    if (isImage && isOwnImageName(image)) return undefined
    throw error
  }
}

// ---- A new image ----

async function make(
  docker: Dockerode,
  image: string,
  { base, rootfs, force = false }: ImageOptions,
  onProgress: (line: string) => void,
): Promise<StepResult> {
  // Built and tested under a temporary name: a broken image must not replace a working one.
  const candidate = `codexbox-tools:candidate-${randomBytes(6).toString('hex')}`
  try {
    if (rootfs) await importRootfs(docker, rootfs, candidate)
    else await buildToolsImage(docker, { base, tag: candidate, fresh: force }, onProgress)
    const { nodeVersion } = await inspectTools(docker, candidate, {
      subject: `The new image (${rootfs ?? base ?? 'built on the default base'})`,
      advice: `${image} was left as it was.`,
    })
    await replace(docker, image, candidate)
    return {
      status: 'done',
      fields: {
        IMAGE: image,
        IMAGE_STATUS: rootfs ? 'imported' : 'built',
        NODE_VERSION: nodeVersion,
      },
      detail: `The image ${image} was ${rootfs ? `imported from ${rootfs}` : 'built'} (Node ${nodeVersion}).`,
    }
  } finally {
    // Removes the temporary name, and with it an image without another name.
    await docker.getImage(candidate).remove().catch(ignore)
  }
}

async function replace(docker: Dockerode, image: string, candidate: string): Promise<void> {
  const before = await docker.getImage(image).inspect().catch(ignore)
  const { repo, tag } = splitName(image)
  try {
    await docker.getImage(candidate).tag({ repo, tag })
  } catch (error) {
    throw new CodexboxError(
      'image-unusable',
      `The engine refused to name the new image ${image}: ${messageOf(error).trim()}`,
      { cause: error },
    )
  }
  if (before) await removeIfUnnamed(docker, before.Id)
}

/** Each image has hundreds of megabytes. Not forced, so that the engine keeps an image in use. */
async function removeIfUnnamed(docker: Dockerode, id: string): Promise<void> {
  const old = await docker.getImage(id).inspect().catch(ignore)
  const isOurs = old?.Config.Labels?.[TOOLS_IMAGE_LABEL] !== undefined
  // A build without changes returns the same image, which still has names.
  if (isOurs && old?.RepoTags.length === 0) await docker.getImage(id).remove().catch(ignore)
}

/** A colon before a slash belongs to the port of a registry. */
function splitName(image: string): { repo: string; tag: string } {
  const [, repo = image, tag = 'latest'] = /^(.+?)(?::([^:/]+))?$/.exec(image) ?? []
  return { repo, tag }
}

/** For cleanup: the image may be gone, or still in use. */
function ignore(): undefined {}

// ---- Advice on failures ----

function fixFor(error: CodexboxError, image: string, options: ImageOptions): string {
  const { base, rootfs } = options
  switch (error.code) {
    case 'engine-unavailable':
    case 'config-invalid':
      return 'Run this step again when the engine can be used; Podman does as well as Docker.'
    case 'wrong-use':
      return USAGE
    default:
      break
  }
  if (!isNewRequested(options) && !isOwnImageName(image)) {
    return 'Nothing was built, because AGENT_IMAGE names that image; --force builds ours under its name.'
  }
  if (rootfs) return 'Make the file with scripts/make-rootfs.sh of the source checkout.'
  if (base) return 'Name a base with Node 20 or newer that is Debian or Ubuntu, or has the tools.'
  return (
    'If no image registry can be reached, use --rootfs with a file made by scripts/make-rootfs.sh of ' +
    'the source checkout, or --base with an image that is there.'
  )
}
