import { readFileSync, statSync } from 'node:fs'
import { isAbsolute, join, resolve } from 'node:path'
import { parseEnv } from 'node:util'
import { z } from 'zod'
import { CodexboxError, messageOf, systemCodeOf } from '../shared/errors.ts'
import { currentFolder, neededCurrentFolder } from './current-folder.ts'
import { homeFolder } from './home-folder.ts'
import { allowedHosts } from './net/allowed-hosts.ts'
import { isCheckout, packageRoot } from './package-root.ts'

/** An empty setting counts as unset: `AGENT_MODEL=` in a `.env` means the default. */
const setting = <T extends z.ZodType>(schema: T) =>
  z.preprocess((value) => (value === '' ? undefined : value), schema)

const text = setting(z.string().optional())

const Settings = z.object({
  AGENT_PROVIDER: text,
  AGENT_ENGINE: setting(z.enum(['docker', 'process'], { error: unknownEngine }).optional()),
  AGENT_CREDENTIALS: setting(z.enum(['sealed', 'direct']).default('sealed')),
  AGENT_NETWORK: setting(z.string().default('none').transform(networkMode)),
  AGENT_IMAGE: setting(z.string().default('codexbox-tools:latest')),
  AGENT_MODEL: text,
  AGENT_EFFORT: text,
  AGENT_SUMMARY: text,
  AGENT_VERBOSITY: text,
  CODEX_BASE_URL: setting(z.string().default('https://chatgpt.com/backend-api/codex')),
  CODEX_AUTH_ISSUER: setting(z.string().default('https://auth.openai.com')),
  CODEX_DATA_DIR: text,
  OPENAI_API_KEY: text,
  OPENAI_BASE_URL: setting(z.string().default('https://api.openai.com/v1')),
})
type Settings = z.infer<typeof Settings>

/** Only these names are read from a `.env`; `PATH` or `NODE_OPTIONS` in one have no effect. */
const NAMES = Object.keys(Settings.shape)

export type EngineName = 'docker' | 'process'
export type CredentialsMode = 'sealed' | 'direct'
/** `allow`: only https to these hosts. */
export type NetworkMode = 'none' | 'open' | { readonly allow: readonly string[] }

/** All settings, validated. */
export interface Config {
  provider: string | undefined
  engine: EngineName | undefined
  credentials: CredentialsMode
  network: NetworkMode
  image: string
  model: string | undefined
  effort: string | undefined
  summary: string | undefined
  verbosity: string | undefined
  codexBaseUrl: URL
  authIssuer: URL
  openaiApiKey: string | undefined
  openaiBaseUrl: URL
  /** Absolute path of the folder with the tokens and the sessions. */
  dataDir: string
  /** The ignored settings of the `.env`, with the reason; for the user. */
  notFollowed: string | undefined
}

/**
 * These can redirect a token, or free the agent from its container. The `.env` of a checkout of this
 * package may have them; any other current folder may be a workspace, with a `.env` written by an
 * agent.
 */
const NOT_FROM_A_WORKSPACE = [
  'AGENT_PROVIDER',
  'AGENT_ENGINE',
  'AGENT_CREDENTIALS',
  'AGENT_NETWORK',
  'AGENT_IMAGE',
  'CODEX_BASE_URL',
  'CODEX_AUTH_ISSUER',
  'CODEX_DATA_DIR',
  'OPENAI_BASE_URL',
]

/**
 * Reads the settings: `env` takes precedence over the `.env` in `cwd`, which only counts for harmless
 * settings unless `trustsFile`.
 * @throws CodexboxError `config-invalid` with the name and source of the setting, never its value.
 */
export function readConfig(
  env: NodeJS.ProcessEnv = process.env,
  cwd = currentFolder(),
  trustsFile = isCheckout && cwd !== undefined && resolve(cwd) === packageRoot,
): Config {
  const file = join(cwd ?? '', '.env')
  const inFile = cwd === undefined ? {} : readEnvFile(file)
  const notFollowed = trustsFile
    ? []
    : NOT_FROM_A_WORKSPACE.filter((name) => inFile[name] && env[name] === undefined)
  const fromFile = {
    ...inFile,
    ...Object.fromEntries(notFollowed.map((name) => [name, undefined])),
  }
  const values = Object.fromEntries(NAMES.map((name) => [name, env[name] ?? fromFile[name]]))
  const sourceOf = (name: string) => (env[name] !== undefined ? 'the environment' : file)

  const parsed = Settings.safeParse(values)
  if (!parsed.success) {
    const problems = parsed.error.issues.map((issue) => {
      const name = String(issue.path[0])
      return `${name} (from ${sourceOf(name)}): ${issue.message}`
    })
    throw new CodexboxError('config-invalid', `${problems.join('; ')}.`)
  }
  const settings = parsed.data
  const url = (name: keyof Settings & string) =>
    tokenUrl(`${name} (from ${sourceOf(name)})`, String(settings[name] ?? ''))
  return {
    provider: settings.AGENT_PROVIDER,
    engine: settings.AGENT_ENGINE,
    credentials: settings.AGENT_CREDENTIALS,
    network: settings.AGENT_NETWORK,
    image: settings.AGENT_IMAGE,
    model: settings.AGENT_MODEL,
    effort: settings.AGENT_EFFORT,
    summary: settings.AGENT_SUMMARY,
    verbosity: settings.AGENT_VERBOSITY,
    codexBaseUrl: url('CODEX_BASE_URL'),
    authIssuer: url('CODEX_AUTH_ISSUER'),
    openaiApiKey: settings.OPENAI_API_KEY,
    openaiBaseUrl: url('OPENAI_BASE_URL'),
    dataDir: dataDir(settings.CODEX_DATA_DIR, cwd),
    notFollowed:
      notFollowed.length > 0
        ? `${notFollowed.join(', ')} in ${file} is not followed: an agent that works there could have ` +
          'written it. Set it in the environment.'
        : undefined,
  }
}

/** Podman is not a separate engine here, so the message explains how to use it. */
function unknownEngine({ input }: { input?: unknown }): string {
  if (input !== 'podman') return 'must be "docker"|"process"'
  return (
    'must be "docker"|"process", and "docker" speaks to the socket of Podman as well. Start that ' +
    '(systemctl --user start podman.socket); at another place than the usual ones, set ' +
    'DOCKER_HOST=unix:///PATH/podman.sock'
  )
}

function networkMode(value: string, context: z.RefinementCtx): NetworkMode {
  if (value === 'none' || value === 'open') return value
  const refuse = (message: string) => {
    context.addIssue({ code: 'custom', message })
    return z.NEVER
  }
  if (!value.startsWith('allow:')) {
    return refuse('must be "none"|"open", or allow:HOST,HOST with the hosts to be reached by https')
  }
  try {
    return { allow: allowedHosts(value.slice('allow:'.length).split(',')) }
  } catch (error) {
    return refuse(messageOf(error))
  }
}

/** `data` in a checkout; an installed package has no folder of its own, so it uses the home folder. */
function dataDir(chosen: string | undefined, cwd: string | undefined): string {
  if (chosen)
    return isAbsolute(chosen) ? resolve(chosen) : resolve(cwd ?? neededCurrentFolder(), chosen)
  if (isCheckout) return join(packageRoot, 'data')
  const home = homeFolder()
  if (home) return join(home, '.codexbox')
  throw new CodexboxError(
    'config-invalid',
    'There is no folder for the sign-in and the sessions: this user has no home folder. ' +
      'Set HOME, or CODEX_DATA_DIR to a folder.',
  )
}

const MAX_ENV_FILE_BYTES = 1024 * 1024

function readEnvFile(path: string): NodeJS.Dict<string> {
  let content: string
  try {
    // A folder named `.env` is a Python virtual environment; reading a named pipe would block for ever.
    if (!statSync(path).isFile()) return {}
    content = readFileSync(path, 'utf8')
  } catch (error) {
    const code = systemCodeOf(error)
    if (code === 'ENOENT') return {}
    throw new CodexboxError('config-invalid', `Cannot read ${path}: ${messageOf(error)}.`, {
      cause: error,
    })
  }
  const refuse = (what: string) => new CodexboxError('config-invalid', `${path}: ${what}.`)
  if (content.length > MAX_ENV_FILE_BYTES) throw refuse('larger than 1 MB; is this the right file?')
  if (content.includes('\0')) throw refuse('not a text file (it contains NUL bytes)')

  const lines = content.replace(/^\uFEFF/, '').split(/\r?\n/)
  lines.forEach((line, index) => {
    // A setting that the parser would drop silently: `AGENT_MODEL gpt`, `AGENT_MODEL: gpt`.
    const name = /^\s*(?:export\s+)?([A-Z_]+)\b(?!\s*=)/.exec(line)?.[1]
    if (name && NAMES.includes(name)) {
      throw refuse(`line ${index + 1} is not of the form ${name}=value`)
    }
  })
  const values = parseEnv(lines.join('\n'))
  for (const name of NAMES) {
    if (/^["'`]/.test(values[name] ?? '')) throw refuse(`${name} has a quote that is never closed`)
  }
  return values
}

/** A token is sent only over https, or in clear text to a private host. */
function tokenUrl(named: string, value: string): URL {
  const refuse = (what: string) => new CodexboxError('config-invalid', `${named}: ${what}.`)
  if (!URL.canParse(value)) throw refuse('not a URL')
  const url = new URL(value)
  if (url.username || url.password) throw refuse('a URL with a user name or password is refused')
  if (url.search || url.hash) throw refuse('a base URL has no query and no fragment')
  const allowed =
    url.protocol === 'https:' || (url.protocol === 'http:' && isPrivateHost(url.hostname))
  if (!allowed) {
    throw refuse('must be https; plain http only to loopback or a private address, given as number')
  }
  return url
}

/** Loopback and private networks (RFC 1918, RFC 4193), by address: a name could resolve to any address. */
function isPrivateHost(hostname: string): boolean {
  if (hostname === 'localhost') return true
  if (/^\[(::1|f[cd][0-9a-f]{2}:.*)\]$/.test(hostname)) return true
  const [a = 0, b = 0, ...rest] = hostname.split('.').map(Number)
  if (rest.length !== 2 || [a, b, ...rest].some(Number.isNaN)) return false
  return a === 127 || a === 10 || (a === 192 && b === 168) || (a === 172 && b >= 16 && b < 32)
}
