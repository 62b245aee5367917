import { randomUUID } from 'node:crypto'
import {
  closeSync,
  existsSync,
  fdatasyncSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  type Stats,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { CodexboxError, messageOf, reasonOf, systemCodeOf } from '../../shared/errors.ts'
import { Item } from '../../shared/items.ts'
import { RunFailure, RunStatus, Usage } from '../../shared/protocol.ts'
import { adviceOn } from '../../shared/unforeseen.ts'
import { holdFileLock } from '../storage/file-lock.ts'
import { makePrivateFolder } from '../storage/make-folder.ts'

/** One record per line. Together the lines are the complete state of a conversation. */
export const SessionLine = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('session'),
    version: z.literal(1),
    /** Identifies the conversation to the service, over all its runs. */
    id: z.string(),
    at: z.iso.datetime(),
  }),
  z.object({
    type: z.literal('run'),
    runId: z.string(),
    at: z.iso.datetime(),
    provider: z.string(),
    model: z.string(),
    /** The owner of the run's encrypted reasoning: provider and account. */
    owner: z.string(),
    workspace: z.string(),
  }),
  z.object({ type: z.literal('item'), runId: z.string(), item: Item }),
  /** The service's token count for the conversation up to here. */
  z.object({ type: z.literal('counted'), runId: z.string(), tokens: z.number() }),
  /** `items` replace all earlier items of the conversation. */
  z.object({ type: z.literal('compacted'), runId: z.string(), items: z.array(Item) }),
  /** The service could no longer read the reasoning before this line. */
  z.object({ type: z.literal('reasoning-dropped'), runId: z.string() }),
  /** The service refused an image before this line. */
  z.object({ type: z.literal('images-dropped'), runId: z.string() }),
  z.object({
    type: z.literal('finished'),
    runId: z.string(),
    status: RunStatus,
    error: RunFailure.optional(),
    usage: Usage,
    turns: z.number(),
    toolCalls: z.number(),
    durationMs: z.number(),
  }),
])
export type SessionLine = z.infer<typeof SessionLine>

/** The first line of a newer format. */
const NewerSession = z.object({ type: z.literal('session'), version: z.number().gt(1) })

export interface SessionSummary {
  name: string
  /** Epoch ms. */
  changedAt: number
  bytes: number
}

const folderOf = (dataDir: string) => join(dataDir, 'sessions')
const fileOf = (dataDir: string, name: string) => join(folderOf(dataDir), `${name}.jsonl`)

/** Accepts names that are file names on every system, and not paths. @throws CodexboxError `session-invalid` */
export function checkSessionName(name: string): string {
  if (/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(name)) return name
  throw new CodexboxError(
    'session-invalid',
    `"${name}" cannot name a session: use up to 64 letters, digits, dots, dashes and underscores, a letter or digit first.`,
  )
}

/** A generated name; sorts by time. */
export function newSessionName(now = new Date()): string {
  const stamp = now.toISOString().slice(0, 19).replaceAll(':', '').replace('T', '-')
  return `${stamp}-${randomUUID().slice(0, 4)}`
}

/** Newest first. @throws CodexboxError `config-invalid` for a folder that cannot be read */
export function listSessions(dataDir: string): SessionSummary[] {
  const folder = folderOf(dataDir)
  return filesIn(folder)
    .filter((file) => file.endsWith('.jsonl'))
    .flatMap((file) => {
      const stats = statSync(join(folder, file), { throwIfNoEntry: false })
      if (!stats?.isFile()) return []
      const name = file.slice(0, -'.jsonl'.length)
      return [{ name, changedAt: stats.mtimeMs, bytes: stats.size }]
    })
    .sort((a, b) => b.changedAt - a.changedAt)
}

function filesIn(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return []
    throw notReadable(folder, error)
  }
}

/** @throws CodexboxError `session-missing`, `session-invalid`, `config-invalid` for an unreadable file */
export function readSession(dataDir: string, name: string): SessionLine[] {
  const file = fileOf(dataDir, checkSessionName(name))
  try {
    // Checked before opening, since opening a pipe blocks for ever.
    checkIsFile(file, statSync(file))
    return parseLog(file, readFileSync(file)).lines
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') throw missing(dataDir, name)
    if (error instanceof CodexboxError) throw error
    throw notReadable(file, error)
  }
}

function checkIsFile(file: string, stats: Stats): void {
  if (stats.isFile()) return
  throw new CodexboxError(
    'session-invalid',
    `${file} is no file, so it holds no session. Move it away, or choose another name.`,
  )
}

/** @throws CodexboxError `session-missing`, and `session-busy` while a conversation has it open */
export async function removeSession(dataDir: string, name: string): Promise<void> {
  const file = fileOf(dataDir, checkSessionName(name))
  if (!existsSync(file)) throw missing(dataDir, name)
  const release = await lock(file)
  rmSync(file)
  await release()
}

function missing(dataDir: string, name: string): CodexboxError {
  return new CodexboxError(
    'session-missing',
    `There is no session ${name} in ${folderOf(dataDir)}; \`codexbox sessions\` lists them.`,
  )
}

function notReadable(path: string, cause: unknown): CodexboxError {
  return new CodexboxError(
    'config-invalid',
    `The sessions cannot be read: ${path} (${reasonOf(cause)}). ` +
      `${adviceOn(cause) ?? ''} Or set CODEX_DATA_DIR to another folder.`.trim(),
    { cause },
  )
}

function notWritable(dataDir: string, cause: unknown): CodexboxError {
  return new CodexboxError(
    'config-invalid',
    `The session cannot be written in the data folder ${dataDir} (${messageOf(cause)}). ` +
      `${adviceOn(cause) ?? ''} Or set CODEX_DATA_DIR to another folder.`.trim(),
    { cause },
  )
}

/** One process at a time writes a session; two would interleave their histories. */
async function lock(file: string) {
  return holdFileLock(`${file}.lock`, {
    timeoutMs: 0,
    code: 'session-busy',
    codeOfFault: 'config-invalid',
  })
}

/** A session, open for appending. */
export class SessionLog {
  readonly name: string
  readonly id: string
  /** The lines read on opening, and all lines appended since. */
  readonly lines: SessionLine[]
  /** Repairs made on opening; for the user. */
  readonly repairs: string[]
  readonly #file: string
  readonly #fd: number
  readonly #release: () => Promise<void>

  private constructor(name: string, opened: OpenedLog) {
    this.name = name
    this.#file = opened.file
    this.lines = opened.lines
    this.repairs = opened.repairs
    this.#fd = opened.fd
    this.#release = opened.release
    const first = this.lines[0]
    if (first?.type === 'session') {
      this.id = first.id
    } else {
      this.id = randomUUID()
      this.append({ type: 'session', version: 1, id: this.id, at: new Date().toISOString() })
    }
  }

  /**
   * Opens or creates a session. A last line torn by a crash is cut off and reported; other damage is
   * refused with the line's number, and the file stays unchanged.
   * @throws CodexboxError `session-invalid`, `session-busy`, `config-invalid` when the folder is not writable
   */
  static async open(dataDir: string, name: string): Promise<SessionLog> {
    const file = fileOf(dataDir, checkSessionName(name))
    try {
      makePrivateFolder(folderOf(dataDir))
      return await SessionLog.#openLocked(file, name, await lock(file))
    } catch (error) {
      if (error instanceof CodexboxError || systemCodeOf(error) === undefined) throw error
      throw notWritable(dataDir, error)
    }
  }

  static async #openLocked(
    file: string,
    name: string,
    release: () => Promise<void>,
  ): Promise<SessionLog> {
    let fd: number | undefined
    try {
      const stats = statSync(file, { throwIfNoEntry: false })
      if (stats) checkIsFile(file, stats)
      fd = openSync(file, 'a+', 0o600)
      const { lines, completeBytes, tornBytes } = parseLog(file, readFileSync(file))
      const repairs: string[] = []
      if (tornBytes > 0) {
        ftruncateSync(fd, completeBytes)
        repairs.push(`the session log ended inside a line; its ${tornBytes} bytes were cut off`)
      }
      return new SessionLog(name, { file, fd, lines, repairs, release })
    } catch (error) {
      if (fd !== undefined) closeSync(fd)
      await release()
      throw error
    }
  }

  /**
   * Writes the line to disk before it returns: a step must not be acted upon before it is logged. When
   * it throws (a full disk), no part of the line remains.
   */
  append(line: SessionLine): void {
    const before = fstatSync(this.#fd).size
    try {
      // Unlike `writeSync`, this continues after a partial write.
      writeFileSync(this.#fd, `${JSON.stringify(line)}\n`)
      fdatasyncSync(this.#fd)
    } catch (error) {
      ftruncateSync(this.#fd, before)
      const what = `The session log ${this.#file} cannot be kept (${messageOf(error)}).`
      const message = [what, adviceOn(error)].filter(Boolean).join(' ')
      throw new CodexboxError('internal', message, { cause: error })
    }
    this.lines.push(line)
  }

  async close(): Promise<void> {
    closeSync(this.#fd)
    await this.#release()
  }
}

interface OpenedLog {
  file: string
  fd: number
  lines: SessionLine[]
  repairs: string[]
  release: () => Promise<void>
}

const LF = 0x0a

function parseLog(file: string, bytes: Buffer) {
  const completeBytes = bytes.lastIndexOf(LF) + 1
  const lines: SessionLine[] = []
  // Line by line: a complete log may exceed the maximum length of a string.
  for (let start = 0; start < completeBytes; ) {
    const end = bytes.indexOf(LF, start)
    lines.push(parseLine(file, bytes.toString('utf8', start, end), lines.length + 1))
    start = end + 1
  }
  if (lines.length > 0 && lines[0]?.type !== 'session') {
    throw invalid(file, 1, 'the first line is not that of a session')
  }
  return { lines, completeBytes, tornBytes: bytes.length - completeBytes }
}

function parseLine(file: string, text: string, number: number): SessionLine {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw invalid(file, number, messageOf(error), error)
  }
  const parsed = SessionLine.safeParse(value)
  if (parsed.success) return parsed.data
  const { version } = NewerSession.safeParse(value).data ?? {}
  if (version) {
    throw new CodexboxError(
      'session-invalid',
      `${file} was written by a newer codexbox (version ${version} of its form). Nothing was changed; ` +
        'update codexbox, or start another session.',
    )
  }
  const issue = parsed.error.issues[0]
  throw invalid(file, number, `${issue?.path.join('.')}: ${issue?.message}`, parsed.error)
}

function invalid(file: string, line: number, what: string, cause?: unknown): CodexboxError {
  return new CodexboxError(
    'session-invalid',
    `${file}, line ${line} cannot be read: ${what}. Nothing was changed; mend that line, or start another session.`,
    { cause },
  )
}
