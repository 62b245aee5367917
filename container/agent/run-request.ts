import { CLIENT_VERSION } from '../../shared/client-version.ts'
import { CodexboxError } from '../../shared/errors.ts'
import { IMAGE_URL } from '../../shared/image-url.ts'
import type { HostLine, ModelForm, RunLimits, RunRequest } from '../../shared/protocol.ts'
import { PROTOCOL_VERSION } from '../../shared/protocol-version.ts'

/**
 * Reads the first line on stdin. The schema is `RunRequest` in shared/protocol.ts; the checks are
 * written out here because the container has no dependencies. A message names the field and never
 * shows its value: the line holds the secrets.
 * @throws CodexboxError `request-invalid`
 */
export function parseRunRequest(line: string): RunRequest {
  const request = new Fields('the first line', parseJson(line))
  if (request.get('version') !== PROTOCOL_VERSION) {
    throw invalid(`the first line: version must be ${PROTOCOL_VERSION}; host and container differ`)
  }
  const endpoint = request.object('endpoint')
  const reasoning = request.object('reasoning')
  const worker = request.has('worker') ? request.object('worker') : undefined
  return {
    version: PROTOCOL_VERSION,
    ...parseRunStart(request),
    conversationId: request.headerValue('conversationId', 64),
    history: request.items('history'),
    historyTokens: request.has('historyTokens') ? request.integer('historyTokens', 0) : undefined,
    endpoint: {
      url: endpointUrl(endpoint.string('url')),
      socketPath: endpoint.optionalString('socketPath'),
      headers: endpoint.headers('headers'),
    },
    model: request.string('model'),
    form: parseForm(request.object('form')),
    instructions: request.text('instructions'),
    reasoning: {
      effort: reasoning.optionalString('effort'),
      summary: reasoning.optionalString('summary'),
    },
    verbosity: request.optionalString('verbosity'),
    outputSchema: request.has('outputSchema') ? request.object('outputSchema').values() : undefined,
    confirmsCalls: request.has('confirmsCalls') ? request.flag('confirmsCalls') : undefined,
    workspace: request.string('workspace'),
    egressSocketPath: request.optionalString('egressSocketPath'),
    toolEnvironment: request.has('toolEnvironment')
      ? request.environment('toolEnvironment')
      : undefined,
    gitConfig: request.optionalString('gitConfig'),
    worker: worker && {
      uid: worker.integer('uid', 0),
      gid: worker.integer('gid', 0),
      isExclusive: worker.has('isExclusive') ? worker.flag('isExclusive') : undefined,
    },
    limits: parseLimits(request.object('limits')),
  }
}

/** Reads a later line on stdin. @throws CodexboxError `request-invalid` */
export function parseHostLine(line: string): HostLine {
  const fields = new Fields('a line on stdin', parseJson(line))
  const type = fields.string('type')
  switch (type) {
    case 'prompt':
      return { type, ...parseRunStart(fields) }
    case 'message':
      return { type, text: fields.string('text') }
    case 'secrets':
      return { type, secrets: parseSecrets(fields) }
    case 'kept':
      return { type, seq: fields.integer('seq', 0) }
    case 'interrupt':
    case 'close':
      return { type }
    default:
      throw invalid('a line on stdin: unknown type')
  }
}

function parseJson(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    // The error of JSON.parse quotes the text, secrets included.
    throw invalid(`${Buffer.byteLength(line)} bytes on stdin are not one line of JSON`)
  }
}

/** The fields that start a run, in the first line and in a `prompt` line. */
function parseRunStart(
  fields: Fields,
): Pick<RunRequest, 'runId' | 'prompt' | 'images' | 'secrets'> {
  return {
    runId: fields.string('runId'),
    prompt: fields.optionalString('prompt'),
    images: fields.has('images') ? fields.dataUrls('images') : undefined,
    secrets: parseSecrets(fields),
  }
}

function parseForm(form: Fields): ModelForm {
  const compaction = form.string('compaction')
  if (compaction !== 'trigger' && compaction !== 'summary') {
    throw invalid('form.compaction must be trigger or summary')
  }
  return {
    lite: form.flag('lite'),
    applyPatch: form.flag('applyPatch'),
    images: form.flag('images'),
    webSearch: form.flag('webSearch'),
    compaction,
    compactAtTokens: form.has('compactAtTokens') ? form.integer('compactAtTokens', 1) : undefined,
    minimalClientVersion: form.has('minimalClientVersion')
      ? form.clientVersion('minimalClientVersion')
      : undefined,
  }
}

function parseSecrets(fields: Fields): RunRequest['secrets'] {
  const secrets = fields.object('secrets')
  return {
    CODEX_ACCESS_TOKEN: secrets.headerValue('CODEX_ACCESS_TOKEN'),
    CODEX_ACCOUNT_ID: secrets.has('CODEX_ACCOUNT_ID')
      ? secrets.headerValue('CODEX_ACCOUNT_ID')
      : undefined,
  }
}

function parseLimits(limits: Fields): RunLimits {
  return {
    maxTurns: limits.integer('maxTurns', 1),
    runMs: limits.integer('runMs', 1),
    idleMs: limits.integer('idleMs', 1),
    firstEventMs: limits.integer('firstEventMs', 1),
    streamIdleMs: limits.integer('streamIdleMs', 1),
    toolMs: limits.integer('toolMs', 1),
    toolOutputBytes: limits.integer('toolOutputBytes', 1),
  }
}

function endpointUrl(text: string): string {
  const { protocol } = URL.canParse(text) ? new URL(text) : { protocol: undefined }
  if (protocol !== 'http:' && protocol !== 'https:') throw invalid('endpoint.url is not a http URL')
  return text
}

/**
 * Half of Node's limit for a timer or a user id, so that there is room to add to it. A timer with a
 * larger value fires at once.
 */
const MAX_INTEGER = 2 ** 30

/** An object from outside, read field by field. */
class Fields {
  readonly #where: string
  readonly #values: Record<string, unknown>

  constructor(where: string, value: unknown) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw invalid(`${where} must be a JSON object`)
    }
    this.#where = where
    this.#values = value as Record<string, unknown>
  }

  get(name: string): unknown {
    return Object.hasOwn(this.#values, name) ? this.#values[name] : undefined
  }

  has(name: string): boolean {
    return this.get(name) !== undefined
  }

  /** A string, possibly empty. */
  text(name: string): string {
    const value = this.get(name)
    if (typeof value !== 'string') throw this.#wrong(name, 'a string')
    return value
  }

  string(name: string): string {
    const value = this.text(name)
    if (value === '') throw this.#wrong(name, 'a string that is not empty')
    return value
  }

  optionalString(name: string): string | undefined {
    return this.has(name) ? this.string(name) : undefined
  }

  flag(name: string): boolean {
    const value = this.get(name)
    if (typeof value !== 'boolean') throw this.#wrong(name, 'true or false')
    return value
  }

  /** All fields, unchecked but for their depth. */
  values(): Record<string, unknown> {
    if (isDeeperThan(this.#values, MAX_DEPTH)) {
      throw invalid(`${this.#where} must be at most ${MAX_DEPTH} levels deep`)
    }
    return this.#values
  }

  dataUrls(name: string): string[] {
    const value = this.get(name)
    const isImage = (url: unknown) => typeof url === 'string' && IMAGE_URL.test(url)
    if (!Array.isArray(value) || !value.every(isImage)) {
      throw this.#wrong(name, 'an array of data URLs of images')
    }
    return value
  }

  /** Visible ASCII: a newline in a token would allow header injection. */
  headerValue(name: string, maxLength = Number.POSITIVE_INFINITY): string {
    const value = this.string(name)
    if (!/^[\x21-\x7e]+$/.test(value)) throw this.#wrong(name, 'printable ASCII without spaces')
    if (value.length > maxLength) throw this.#wrong(name, `at most ${maxLength} characters long`)
    return value
  }

  clientVersion(name: string): string {
    const value = this.string(name)
    if (!CLIENT_VERSION.test(value)) throw this.#wrong(name, 'a version like 0.171.0')
    return value
  }

  headers(name: string): Record<string, string> {
    const fields = this.object(name)
    for (const key of Object.keys(fields.#values)) {
      if (!/^[a-z0-9-]+$/.test(key) || !/^[\x20-\x7e]*$/.test(fields.text(key))) {
        throw this.#wrong(name, 'header names in lower case with values of printable ASCII')
      }
    }
    return fields.#values as Record<string, string>
  }

  environment(name: string): Record<string, string> {
    const fields = this.object(name)
    for (const variable of Object.keys(fields.#values)) {
      const isEntry = /^[^=\0]+$/.test(variable) && !fields.text(variable).includes('\0')
      if (!isEntry) throw this.#wrong(name, 'names and values of environment variables')
    }
    return fields.#values as Record<string, string>
  }

  integer(name: string, minimum: number): number {
    const value = this.get(name)
    if (!Number.isSafeInteger(value) || (value as number) < minimum) {
      throw this.#wrong(name, `an integer of at least ${minimum}`)
    }
    if ((value as number) > MAX_INTEGER) throw this.#wrong(name, `at most ${MAX_INTEGER}`)
    return value as number
  }

  object(name: string): Fields {
    return new Fields(`${this.#where}: ${name}`, this.get(name))
  }

  items(name: string): RunRequest['history'] {
    const value = this.get(name)
    const isItem = (item: unknown) =>
      typeof item === 'object' && item !== null && 'type' in item && typeof item.type === 'string'
    if (!Array.isArray(value) || !value.every(isItem)) throw this.#wrong(name, 'an array of items')
    if (isDeeperThan(value, MAX_DEPTH)) throw this.#wrong(name, `at most ${MAX_DEPTH} levels deep`)
    return value as RunRequest['history']
  }

  #wrong(name: string, wanted: string): CodexboxError {
    return invalid(`${this.#where}: ${name} must be ${wanted}`)
  }
}

/** Far above any item of the service. */
const MAX_DEPTH = 1000

/** Level by level: recursion into a deep value would overflow the stack. */
function isDeeperThan(value: unknown, limit: number): boolean {
  let level: unknown[] = [value]
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > limit) return true
    level = level.flatMap((entry) =>
      typeof entry === 'object' && entry !== null ? Object.values(entry) : [],
    )
  }
  return false
}

function invalid(message: string): CodexboxError {
  return new CodexboxError('request-invalid', `Refused: ${message}.`)
}
