import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { homeFolder } from '../home-folder.ts'

/** A folder that an agent must not have, alone or within a folder around it. */
export interface ProtectedPlace {
  path: string
  /** Its content; ends the sentence "… would give the agent". */
  what: string
  /** Whether its subfolders are protected too. */
  coversSubfolders: boolean
}

/** The folders on this machine with secrets, or with control over it. */
export function protectedPlaces(
  dataDir: string,
  env: NodeJS.ProcessEnv = process.env,
  home = homeFolder(),
): ProtectedPlace[] {
  const deep = (what: string, paths: readonly string[]) =>
    paths.map((path) => ({ path, what, coversSubfolders: true }))
  const itself = (what: string, paths: readonly string[]) =>
    paths.map((path) => ({ path, what, coversSubfolders: false }))
  const inHome = (names: readonly string[]) => (home ? names.map((name) => join(home, name)) : [])
  const sockets = [env.SSH_AUTH_SOCK, /^unix:\/\/(\/.*)/.exec(env.DOCKER_HOST ?? '')?.[1]]

  // The message names the first match, so the most specific ones come first.
  return [
    ...deep(`our data folder ${dataDir}, which holds the sign-in`, [dataDir]),
    ...itself('your whole home folder', home ? [home] : []),
    ...itself('the home folders of all users', HOMES),
    ...deep('your keys and credentials', inHome(CREDENTIALS)),
    ...deep('the sign-in of the Codex CLI', env.CODEX_HOME ? [env.CODEX_HOME] : inHome(['.codex'])),
    ...deep('the profile of a browser, with its passwords and cookies', inHome(BROWSERS)),
    ...deep('the socket of the container engine, which is as good as root', ENGINE_SOCKETS),
    ...deep(
      'a socket that takes orders',
      sockets.filter((path) => path !== undefined),
    ),
    ...deep('the settings and devices of the system', SYSTEM),
    ...itself('your settings, with the sign-ins of many programs', inHome(SETTINGS)),
    ...itself('the sockets of running services', ['/run', '/var/run']),
    ...itself('the programs of the system', ['/usr', '/bin', '/sbin', '/lib', '/opt']),
    ...itself('the temporary files of all programs', [tmpdir(), '/tmp', '/var/tmp']),
  ]
}

/**
 * Names of folders with secrets in any location, such as in a copy of a home folder. Complete
 * names: `my-credentials-demo` is an ordinary project.
 */
export const SECRET_NAMES: readonly string[] = ['.ssh', '.gnupg', '.aws', '.azure', '.kube']

/** A folder with one of these in it is a home folder. */
export const HOME_MARKERS: readonly string[] = [
  '.ssh',
  '.gnupg',
  '.aws/credentials',
  '.codex/auth.json',
  '.docker/config.json',
  '.kube/config',
  '.bash_history',
  '.zsh_history',
]

const CREDENTIALS = [
  ...SECRET_NAMES,
  '.docker',
  '.claude',
  '.gemini',
  '.netrc',
  '.git-credentials',
  '.password-store',
  '.local/share/keyrings',
  '.config/gcloud',
  '.config/gh',
  '.config/op',
  '.config/rclone',
  '.config/sops',
  '.config/containers',
  'Library/Keychains',
  'AppData/Roaming/gcloud',
  'AppData/Roaming/Microsoft/Credentials',
  'AppData/Roaming/gnupg',
]

const BROWSERS = [
  '.mozilla',
  '.config/google-chrome',
  '.config/chromium',
  '.config/BraveSoftware',
  '.config/microsoft-edge',
  '.var/app',
  'snap/firefox',
  'snap/chromium',
  'Library/Application Support/Firefox',
  'Library/Application Support/Google/Chrome',
  'Library/Application Support/BraveSoftware',
  'Library/Application Support/Microsoft Edge',
  'Library/Safari',
  'Library/Cookies',
  'AppData/Roaming/Mozilla',
  'AppData/Local/Google/Chrome',
  'AppData/Local/Microsoft/Edge',
  'AppData/Local/BraveSoftware',
]

const SETTINGS = ['.config', '.local', '.local/share', 'Library', 'AppData', 'AppData/Roaming']

// Includes other users' homes, for root. Each list is only for its own system; see below.
const HOMES = process.platform === 'win32' ? ['C:\\Users'] : ['/home', '/Users']

const ENGINE_SOCKETS = [
  '/var/run/docker.sock',
  '/run/docker',
  '/run/containerd',
  '/run/podman',
  '/var/lib/docker',
  '/var/lib/containers',
]

// On the other system the path would be relative to the current folder.
const SYSTEM =
  process.platform === 'win32'
    ? ['C:\\Windows']
    : ['/etc', '/proc', '/sys', '/dev', '/boot', '/run/user', '/run/secrets']
