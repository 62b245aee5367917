import type Dockerode from 'dockerode'
import { CodexboxError } from '../../shared/errors.ts'
import { setupCommand } from '../package-root.ts'
import { engineRequest, statusOf } from './engine-request.ts'

/** The settings of an image that affect our containers. */
export interface ImageSettings {
  /** The paths it declares as volumes. */
  volumes: readonly string[]
  /** `NAME=value`, one a variable. */
  environment: readonly string[]
}

/** @throws CodexboxError `image-missing`, `engine-unavailable`, and `config-invalid` for an invalid image name */
export async function imageSettings(
  docker: Dockerode,
  image: string,
  engineLabel: string,
): Promise<ImageSettings> {
  if (!CAN_BE_ASKED_FOR.test(image)) throw notAName(image)
  try {
    return settingsIn(await engineRequest(() => docker.getImage(image).inspect(), engineLabel))
  } catch (error) {
    switch (statusOf(error)) {
      case 400:
        throw notAName(image, error)
      case 404:
        throw imageMissing(image, error)
      default:
        throw error
    }
  }
}

/** Names that are safe in the path of a request; the engine checks the remaining rules. */
const CAN_BE_ASKED_FOR = /^(?!.*\/[./])\w[\w.:/@+-]*$/

function notAName(image: string, cause?: unknown): CodexboxError {
  return new CodexboxError(
    'config-invalid',
    `AGENT_IMAGE is ${JSON.stringify(image)}, which is no name of an image. ` +
      'Set one such as node:22 or registry.example/team/image:tag, in lower case.',
    { cause },
  )
}

/** An imported image may have no settings at all. */
export function settingsIn({ Config }: { Config?: Declared | null }): ImageSettings {
  return { volumes: Object.keys(Config?.Volumes ?? {}), environment: Config?.Env ?? [] }
}

/** In the spelling of the Docker API. */
interface Declared {
  Volumes?: object | null | undefined
  Env?: string[] | null | undefined
}

/** Whether the setup makes an image of this name by default. */
export const isOwnImageName = (image: string) => /^codexbox-tools(:|$)/.test(image)

export function imageMissing(image: string, cause: unknown): CodexboxError {
  const make = `\`${setupCommand('image')}\``
  const advice = isOwnImageName(image)
    ? `Make it with ${make}, or name another with AGENT_IMAGE.`
    : `Fetch it with \`docker pull ${image}\`, or unset AGENT_IMAGE and make ours with ${make}.`
  return new CodexboxError('image-missing', `There is no image ${image}. ${advice}`, { cause })
}
