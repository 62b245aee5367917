import { posix } from 'node:path'
import { liesIn } from '../../shared/lies-in.ts'
import type { ImageSettings } from './image-settings.ts'

/** The home folder in a container. */
export const HOME = '/home/agent'

/** Set in every container; an image cannot override these for its tools. */
const OURS = {
  HOME,
  LANG: 'C.UTF-8',
  GIT_TERMINAL_PROMPT: '0',
  PAGER: 'cat',
}

const USUAL_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/**
 * The environment that a container of the image starts with. From the image it takes only the part of its
 * `PATH` that is not in a `writable` folder. Any other variable (`NODE_OPTIONS`, `LD_PRELOAD`, `BASH_ENV`, …)
 * could make the agent run code of the workspace, so it gets an empty value, which every engine understands. An
 * entry without a value removes a variable on Docker, but copies the engine's own on Podman. The few names that
 * count even when empty (`LD_TRACE_LOADED_OBJECTS`, `LD_SHOW_AUXV`, `NODE_UNIQUE_ID`) run no code; they stop the
 * agent from working, as they do any program, and the start fails.
 */
export function agentEnvironment(image: ImageSettings, writable: readonly string[]): string[] {
  const names = variablesOf(image).map(([name]) => name)
  const empty = Object.fromEntries(names.map((name) => [name, '']))
  const variables = { ...empty, ...OURS, PATH: searchPath(image, writable) }
  return Object.entries(variables).map(([name, value]) => `${name}=${value}`)
}

/** Further variables for commands of tools: their user's name, and the image's variables except the reserved ones. */
export function toolEnvironment(image: ImageSettings, userName: string): Record<string, string> {
  const ofImage = variablesOf(image).filter(([name]) => !Object.hasOwn(OURS, name))
  return { ...Object.fromEntries(ofImage), USER: userName, LOGNAME: userName }
}

function searchPath(image: ImageSettings, writable: readonly string[]): string {
  const isTrusted = (entry: string) =>
    posix.isAbsolute(entry) && !writable.some((folder) => liesIn(entry, folder))
  const trusted = (path: string) => path.split(':').filter(isTrusted).join(':')
  const [, path] = variablesOf(image).findLast(([name]) => name === 'PATH') ?? []
  // An empty path would mean the current folder. This folder has no programs, so the start fails with an error.
  return trusted(path ?? '') || trusted(USUAL_PATH) || '/'
}

function variablesOf({ environment }: ImageSettings): [name: string, value: string][] {
  return environment
    .map((entry): [string, string] => {
      const [name = ''] = entry.split('=', 1)
      return [name, entry.slice(name.length + 1)]
    })
    .filter(([name]) => name !== '')
}
