import { createHash } from 'node:crypto'
import { accessSync, constants, existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import Dockerode from 'dockerode'
import { z } from 'zod'
import { CodexboxError, messageOf, systemCodeOf } from '../../shared/errors.ts'
import { homeFolder } from '../home-folder.ts'

export interface DockerConnection {
  options: Dockerode.DockerOptions
  /** The source of the address; for messages. */
  source: string
}

/**
 * A client for the engine that the `docker` command would use. Sends no request.
 * @throws CodexboxError like `dockerConnection`
 */
export function createDocker(env: NodeJS.ProcessEnv = process.env): {
  docker: Dockerode
  source: string
} {
  const { options, source } = dockerConnection(env, homeFolder() ?? '/')
  return { docker: new Dockerode(options), source }
}

/**
 * Finds the engine in the order of the `docker` command: DOCKER_HOST, the named or current context,
 * the usual sockets. `sockets` are the usual sockets in the order of preference.
 * @throws CodexboxError `config-invalid` for an unusable address, `engine-unavailable`
 * when neither an address is configured nor a socket exists.
 */
export function dockerConnection(
  env: NodeJS.ProcessEnv,
  home: string,
  sockets: readonly string[] = usualSockets(env, home),
): DockerConnection {
  const configFolder = env.DOCKER_CONFIG || join(home, '.docker')
  if (env.DOCKER_HOST) return fromDockerHost(env.DOCKER_HOST, env, configFolder)

  const current = env.DOCKER_CONTEXT
    ? { context: env.DOCKER_CONTEXT, namedBy: 'DOCKER_CONTEXT' }
    : currentContext(join(configFolder, 'config.json'))
  const { context, namedBy } = current
  // `default` names the command's behaviour without a context.
  if (context && context !== 'default') return fromContext(context, namedBy, env, configFolder)
  const { options, source } = fromSockets(sockets)
  return { options, source: current.problem ? `${source}; ${current.problem}` : source }
}

/** Docker, Docker Desktop, Colima, rootless Docker, Podman. */
function usualSockets(env: NodeJS.ProcessEnv, home: string): string[] {
  const runtime = env.XDG_RUNTIME_DIR
  return [
    DEFAULT_SOCKET,
    join(home, '.docker/run/docker.sock'),
    join(home, '.colima/default/docker.sock'),
    ...(runtime ? [join(runtime, 'docker.sock'), join(runtime, 'podman/podman.sock')] : []),
    '/run/podman/podman.sock',
  ]
}

const DEFAULT_SOCKET = '/var/run/docker.sock'

// ---- DOCKER_HOST ----

function fromDockerHost(
  value: string,
  env: NodeJS.ProcessEnv,
  configFolder: string,
): DockerConnection {
  const source = 'DOCKER_HOST'
  // The command takes a bare host and port for tcp.
  const address = value.includes('://') ? value : `tcp://${value}`
  // Certificates are used even without DOCKER_TLS_VERIFY: the connection is never weaker than they allow.
  const tls = () => {
    if (env.DOCKER_CERT_PATH) return readCertificates(env.DOCKER_CERT_PATH, 'DOCKER_CERT_PATH')
    if (!env.DOCKER_TLS_VERIFY) return undefined
    return existsSync(configFolder) ? readCertificates(configFolder, 'DOCKER_TLS_VERIFY') : {}
  }
  return { options: endpoint(address, source, env, tls), source }
}

// ---- Contexts ----

/** The fields of Docker's own files that are read here. */
const DockerConfigFile = z.looseObject({ currentContext: z.string().nullish() })
const ContextFile = z.looseObject({
  Endpoints: z.looseObject({
    docker: z.looseObject({ Host: z.string(), SkipTLSVerify: z.boolean().optional() }),
  }),
})

interface CurrentContext {
  context?: string | null | undefined
  namedBy: string
  /** Why the current context could not be read. */
  problem?: string
}

/** The `docker` command goes on without a context, with a warning, when it cannot read its config. */
function currentContext(file: string): CurrentContext {
  if (!existsSync(file)) return { namedBy: file }
  try {
    return { context: readJson(file, DockerConfigFile).currentContext, namedBy: file }
  } catch (error) {
    return { namedBy: file, problem: messageOf(error).replace(/\.$/, '') }
  }
}

function fromContext(
  name: string,
  namedBy: string,
  env: NodeJS.ProcessEnv,
  configFolder: string,
): DockerConnection {
  const source = `context ${name}`
  // Contexts are filed under the digest of their name.
  const id = createHash('sha256').update(name).digest('hex')
  const file = join(configFolder, 'contexts/meta', id, 'meta.json')
  if (!existsSync(file)) {
    throw invalid(
      `There is no Docker context "${name}", which ${namedBy} names (${file} is missing). ` +
        'See `docker context ls`, or set DOCKER_HOST',
    )
  }
  const { docker } = readJson(file, ContextFile).Endpoints
  if (docker.SkipTLSVerify) {
    throw invalid(
      `The Docker context "${name}" turns off the check of the engine's certificate, which is not supported. ` +
        "Give the context the engine's CA, or reach the engine over ssh",
    )
  }
  const certificates = join(configFolder, 'contexts/tls', id, 'docker')
  const tls = () => (existsSync(certificates) ? readCertificates(certificates, source) : undefined)
  return { options: endpoint(docker.Host, source, env, tls), source }
}

function readJson<T extends z.ZodType>(file: string, schema: T): z.infer<T> {
  let value: unknown
  try {
    value = JSON.parse(readFileSync(file, 'utf8'))
  } catch (error) {
    // Docker's config file may hold registry passwords, and a JSON error quotes its input.
    const what = error instanceof SyntaxError ? 'it is not JSON' : messageOf(error)
    throw invalid(`Cannot read ${file}: ${what}`)
  }
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  const fields = parsed.error.issues.map((issue) => issue.path.join('.') || 'the whole file')
  throw invalid(`${file} is not as Docker writes it: ${fields.join(', ')}`)
}

// ---- Sockets ----

function fromSockets(sockets: readonly string[]): DockerConnection {
  const there = sockets.filter((path) => existsSync(path))
  // A socket that only root may use must not hide the user's own engine; without another socket,
  // the user has to see its refusal.
  const socketPath = there.find(isUsable) ?? there[0]
  if (socketPath) return { options: local(socketPath), source: socketPath }
  throw new CodexboxError(
    'engine-unavailable',
    `No Docker or Podman engine found: there is no socket at ${sockets.join(', ')}. ` +
      'Start Docker or Podman, or set DOCKER_HOST to where it listens.',
  )
}

function isUsable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK | constants.W_OK)
    return true
  } catch {
    return false // For every error: the next socket is tried.
  }
}

// ---- Addresses ----

type Certificates = Pick<Dockerode.DockerOptions, 'ca' | 'cert' | 'key'>

/**
 * The options for an address in Docker's spelling. Every option is set, because the client
 * fills gaps from DOCKER_HOST and DOCKER_CERT_PATH of the process, even next to a context.
 */
function endpoint(
  address: string,
  source: string,
  env: NodeJS.ProcessEnv,
  certificates: () => Certificates | undefined,
): Dockerode.DockerOptions {
  const socketPath = /^(?:unix|npipe):\/\/(.*)$/s.exec(address)?.[1]
  if (socketPath !== undefined) return local(socketPath || DEFAULT_SOCKET)

  // The value is not repeated: a malformed address may hold a password in any position.
  const expected = 'unix:///path, tcp://host:port or ssh://user@host'
  if (!URL.canParse(address)) throw invalid(`${source} is no address such as ${expected}`)
  const url = new URL(address)
  if (!url.hostname) throw invalid(`${source} names no host; expected ${expected}`)
  if (url.password) throw invalid(`${source} holds a password, which is refused; use an ssh key`)
  if (!/^\/?$/.test(url.pathname)) throw invalid(`${source} has a path; expected ${expected}`)
  // URL includes the brackets of an IPv6 address; sockets take none.
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1')

  switch (url.protocol) {
    // Only TCP needs certificates: DOCKER_TLS_VERIFY means nothing to a socket.
    case 'tcp:':
    case 'http:':
    case 'https:': {
      const tls = certificates()
      const secure = tls !== undefined || url.protocol === 'https:'
      // The ports that IANA assigned to Docker, without and with TLS.
      const port = url.port || (secure ? 2376 : 2375)
      return { ...remote(host, port, secure ? 'https' : 'http'), ...tls }
    }
    case 'ssh:':
      return {
        ...remote(host, url.port || 22, 'ssh'),
        username: decodeURIComponent(url.username) || env.USER,
        sshOptions: env.SSH_AUTH_SOCK ? { agent: env.SSH_AUTH_SOCK } : {},
      }
    default:
      throw invalid(`${source} begins with ${url.protocol}//; expected ${expected}`)
  }
}

const noCertificates = { ca: undefined, cert: undefined, key: undefined }

function local(socketPath: string): Dockerode.DockerOptions {
  return { socketPath, host: undefined, port: undefined, protocol: 'http', ...noCertificates }
}

function remote(
  host: string,
  port: number | string,
  protocol: 'http' | 'https' | 'ssh',
): Dockerode.DockerOptions {
  return { socketPath: undefined, host, port, protocol, ...noCertificates }
}

function readCertificates(folder: string, source: string): Certificates {
  const read = (name: string): Buffer | undefined => {
    const path = join(folder, name)
    try {
      return readFileSync(path)
    } catch (error) {
      // Each of the three files is optional: a public CA, or an engine without client certificates.
      if (systemCodeOf(error) === 'ENOENT' && existsSync(folder)) return undefined
      throw invalid(
        `Cannot read the TLS certificates of the engine (${source}): ${messageOf(error)}`,
      )
    }
  }
  const certificates = { ca: read('ca.pem'), cert: read('cert.pem'), key: read('key.pem') }
  if (Boolean(certificates.cert) !== Boolean(certificates.key)) {
    throw invalid(
      `${folder} (${source}) has only one of cert.pem and key.pem; the engine needs both`,
    )
  }
  return certificates
}

const invalid = (message: string) => new CodexboxError('config-invalid', `${message}.`)
