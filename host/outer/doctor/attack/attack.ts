import { randomBytes, randomUUID } from 'node:crypto'
import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import type Dockerode from 'dockerode'
import { z } from 'zod'
import { CodexboxError, messageOf } from '../../../../shared/errors.ts'
import type { Item } from '../../../../shared/items.ts'
import { NO_USAGE } from '../../../../shared/no-usage.ts'
import type { RunEvent } from '../../../../shared/protocol.ts'
import { PROTOCOL_VERSION } from '../../../../shared/protocol-version.ts'
import { type Config, type CredentialsMode, readConfig } from '../../../config.ts'
import { dockerEngine } from '../../../engine/docker-engine.ts'
import { createDocker } from '../../../engine/docker-host.ts'
import type { Engine } from '../../../engine/engine.ts'
import { openGateway } from '../../../gateway/gateway.ts'
import { budgetOf } from '../../../gateway/run-budget.ts'
import { Conversation } from '../../../runs/conversation.ts'
import { SessionLog } from '../../../runs/session-log.ts'
import { makeOwnedTempFolder } from '../../../storage/owned-temp-folder.ts'
import { openWorkspace } from '../../../workspace/open-workspace.ts'
import { watchAutorun } from '../../autorun/watch.ts'
import { DEMO_MODEL } from '../../demo/responses-request.ts'
import { openEgressProxy } from '../../egress/open-egress-proxy.ts'
import { type AttackCase, attackCases } from './attack-cases.ts'
import { ATTACK_SCRIPT } from './attack-script.ts'
import { openBridgeRelay } from './bridge-relay.ts'
import { decoyProvider } from './decoy-provider.ts'
import { type Listeners, openListeners } from './listeners.ts'
import { type Found, searchSecrets } from './secret-search.ts'
import { watchedEngine } from './watched-engine.ts'

export interface AttackOptions {
  config?: Pick<Config, 'image'>
  credentials: CredentialsMode
  /**
   * The owner of the workspace, and so the user of the tools. Only root can choose it. Default: an
   * ordinary user.
   */
  owner?: { uid: number; gid: number }
  onProgress?: (text: string) => void
}

export interface AttackResult extends AttackCase {
  outcome: 'held' | 'not-held' | 'not-tried'
  /** Number of tries. */
  tried: number
  /** What the tool got, or why the attempt was not made. */
  detail: string[]
  /** Whether the same attempt worked on a process of the tool's own; absent when it has no such control. */
  proved?: boolean
}

export interface AttackReport {
  credentials: CredentialsMode
  /** The user of the tools. */
  toolUser: { uid: number; gid: number }
  results: AttackResult[]
  /** Secrets found in the container's output or in what the host stored of it. */
  leaked: Found
  /** Weaknesses outside of codexbox that the user should know. */
  remarks: string[]
}

/** Any user but root. */
const ORDINARY_USER = { uid: 1000, gid: 1000 }

const MINUTE = 60_000
const LIMITS = {
  maxTurns: 20,
  runMs: 5 * MINUTE,
  idleMs: 5 * MINUTE,
  firstEventMs: MINUTE,
  streamIdleMs: MINUTE,
  toolMs: 4 * MINUTE,
  toolOutputBytes: 40_000,
}

/**
 * Runs a hostile tool in a container like any other: same engine, same gateway, same loop, with a
 * scripted model that starts the tool by a call, and secrets made for this attack. Reaches nothing beyond
 * this machine, and leaves nothing behind.
 * @throws CodexboxError `engine-unavailable`, `image-missing`, `image-unusable`, and `internal` when the
 * script did not finish, which proves nothing
 */
export async function attack(options: AttackOptions): Promise<AttackReport> {
  const { docker, source } = createDocker()
  const root = makeOwnedTempFolder()
  const listeners = await openListeners()
  try {
    const run = new AttackRun(root, options, listeners)
    const { image } = options.config ?? readConfig()
    const engine = dockerEngine(docker, image, source)
    await engine.check()
    return await run.play(docker, engine, image)
  } finally {
    await listeners.close()
    rmSync(root, { recursive: true, force: true })
  }
}

const newSecret = () => randomBytes(32).toString('base64url')
const backwards = (text: string) => [...text].reverse().join('')

/** The script's report. Parsed, since any tool could have written the file. */
const ScriptReport = z.array(
  z.object({
    id: z.string(),
    tried: z.number(),
    got: z.array(z.string()),
    refused: z.array(z.string()),
    proved: z.boolean().optional(),
    notTried: z.string().optional(),
    failed: z.string().optional(),
  }),
)
type ScriptResult = z.infer<typeof ScriptReport>[number]

/** The fields of a run's first line to the container that the attack needs. */
const RunStartLine = z.looseObject({
  runId: z.string(),
  secrets: z.object({ CODEX_ACCESS_TOKEN: z.string() }),
})

class AttackRun {
  readonly #options: AttackOptions
  readonly #listeners: Listeners
  readonly #workspace: string
  readonly #dataDir: string
  readonly #token = newSecret()
  readonly #refreshToken = newSecret()
  /** The secrets that the host sent to the container, one for each run. */
  readonly #sentSecrets: string[] = []
  readonly #forged = `forged-${randomBytes(8).toString('hex')}`
  readonly #printed: Buffer[] = []
  readonly #events: RunEvent[] = []
  #conversationId = ''
  #container: string | undefined
  /** The part of the container's stderr that an error would quote. */
  #stderrTail = () => ''
  /** Why the second conversation did not start: the host refuses a workspace that changes meanwhile. */
  #besideError: string | undefined
  /** Why the host aborted a run. */
  #protocolError: string | undefined

  constructor(root: string, options: AttackOptions, listeners: Listeners) {
    this.#options = options
    this.#listeners = listeners
    this.#workspace = join(root, 'workspace')
    this.#dataDir = join(root, 'data')
    mkdirSync(this.#dataDir, { mode: 0o700 })
    writeFileSync(
      join(this.#dataDir, 'codex-tokens.json'),
      JSON.stringify({ access_token: this.#token, refresh_token: this.#refreshToken }),
      { mode: 0o600 },
    )
    mkdirSync(this.#workspace)
    this.#write('attack.cjs', ATTACK_SCRIPT)
    this.#layOutRepository()
    const owner = options.owner ?? ORDINARY_USER
    if (process.getuid?.() === 0) giveTo(this.#workspace, owner)
  }

  async play(
    docker: Dockerode,
    engine: ReturnType<typeof dockerEngine>,
    image: string,
  ): Promise<AttackReport> {
    const { credentials, onProgress = () => {} } = this.#options
    const isSealed = credentials === 'sealed'
    const config: Config = {
      ...readConfig({}, this.#dataDir),
      image,
      credentials,
      network: isSealed ? 'none' : 'open',
      dataDir: this.#dataDir,
    }
    const provider = decoyProvider(this.#token, async (url) =>
      isSealed ? { url, close: async () => {} } : openBridgeRelay(docker, url),
    )
    const workspace = openWorkspace(this.#workspace, this.#dataDir)
    const log = await SessionLog.open(this.#dataDir, 'attack')
    this.#conversationId = log.id
    const other = await this.#otherGateway(provider)
    const open = (engine: Engine, log: SessionLog) =>
      new Conversation({
        config,
        workspace,
        watch: watchAutorun(workspace.path),
        openEgressProxy,
        provider,
        engine,
        log,
        limits: LIMITS,
        outputSchema: undefined,
        webSearch: false,
        notices: [],
      })
    const watched = watchedEngine(engine, {
      onStart: ({ name }, agent) => {
        this.#container = name
        this.#stderrTail = agent.stderrTail
      },
      onLine: (line) => this.#prepare(line, other.capability),
      onOutput: (chunk) => this.#printed.push(chunk),
    })
    const conversation = open(watched, log)
    const container: Record<string, string> = {}
    try {
      for (const part of [1, 2]) {
        onProgress(part === 1 ? 'theft, escape, network' : 'forgery, gateway')
        await this.#run(conversation, part)
        // A later run may end the container.
        if (part === 1) Object.assign(container, await this.#engineAccount(docker, image))
      }
      onProgress('a second conversation')
      await this.#attackSecondStart(async (session) =>
        open(engine, await SessionLog.open(this.#dataDir, session)),
      )
    } finally {
      await conversation.close()
      await other.close()
    }
    return this.#report(workspace.user ?? ORDINARY_USER, container)
  }

  /** Tools of one conversation swap folders while another conversation starts in the same workspace. */
  async #attackSecondStart(open: (session: string) => Promise<Conversation>): Promise<void> {
    const plan = { backwards: this.#secrets().map(backwards), hostFolder: this.#dataDir }
    for (const part of ['swap', '3']) this.#write(`plan-${part}.json`, JSON.stringify(plan))
    const first = await open('swaps')
    try {
      const swapping = first.run('run: node ./attack.cjs swap')
      for await (const { type } of swapping) if (type === 'tool.started') break
      const second = await open('beside')
      try {
        const run = second.run('run: node ./attack.cjs 3')
        for await (const event of run) this.#events.push(event)
        const { status, error } = await run.result
        this.#besideError = status === 'done' ? undefined : (error?.message ?? status)
      } finally {
        await second.close()
      }
      swapping.interrupt()
    } finally {
      await first.close()
    }
  }

  async #run(conversation: Conversation, part: number): Promise<void> {
    const run = conversation.run(`run: node ./attack.cjs ${part}`)
    for await (const event of run) this.#events.push(event)
    const { status, error } = await run.result
    if (status === 'done') return
    if (error?.code === 'protocol-violation') {
      // The host rejected the forgery, which is the safe outcome; still, a tool could break the run.
      this.#protocolError = error.message
      return
    }
    throw new CodexboxError(
      'internal',
      `The attack came to no end (${status}${error ? `: ${error.message}` : ''}), which proves nothing. Try again.`,
    )
  }

  /** The gateway of another conversation. */
  async #otherGateway(provider: ReturnType<typeof decoyProvider>) {
    const connection = await provider.connect?.()
    if (!connection) throw new Error('a provider that cannot connect')
    const gateway = await openGateway(connection, {
      runPolicy: {
        conversationId: randomUUID(),
        model: DEMO_MODEL,
        form: { lite: false, webSearch: false },
      },
      budget: budgetOf(LIMITS),
    })
    return {
      capability: gateway.grant('other'),
      async close() {
        await gateway.close()
        await connection.close()
      },
    }
  }

  /** Writes the plan of a run before the container receives the run's first line. */
  #prepare(line: string, othersCapability: string): void {
    const runStart = RunStartLine.safeParse(JSON.parse(line)).data
    if (!runStart) return
    const { runId, secrets } = runStart
    this.#sentSecrets.push(secrets.CODEX_ACCESS_TOKEN)
    const part = this.#sentSecrets.length
    const isSealed = this.#options.credentials === 'sealed'
    this.#write(
      `plan-${part}.json`,
      JSON.stringify({
        backwards: this.#secrets().map(backwards),
        hostFiles: [join(this.#dataDir, 'codex-tokens.json')],
        engineSockets: [process.env.DOCKER_HOST ?? ''].flatMap(
          (address) => /^unix:\/\/(\/.*)/.exec(address)?.[1] ?? [],
        ),
        othersCapability,
        goodBody: this.#goodBody(),
        tryNetwork: isSealed,
        listeners: this.#listeners.places,
        abstractSocket: this.#listeners.abstractSocket,
        ...(isSealed && part > 1
          ? {
              stolenBackwards: backwards(secrets.CODEX_ACCESS_TOKEN),
              revokedBackwards: backwards(this.#sentSecrets[0] ?? ''),
            }
          : {}),
        forged: this.#forgeries(runId),
        word: this.#forged,
      }),
    )
  }

  #secrets(): string[] {
    return [...new Set([this.#token, this.#refreshToken, ...this.#sentSecrets])]
  }

  /** A body that this gateway accepts: a changed copy is then refused for the change alone. */
  #goodBody(): object {
    return {
      model: DEMO_MODEL,
      stream: true,
      store: false,
      tools: [],
      tool_choice: 'auto',
      parallel_tool_calls: true,
      reasoning: {},
      include: ['reasoning.encrypted_content'],
      prompt_cache_key: this.#conversationId,
      input: [
        {
          type: 'message',
          role: 'user',
          content: [{ type: 'input_text', text: 'what did you do?' }],
        },
      ],
    }
  }

  #forgeries(runId: string): object[] {
    const head = (seq: number) => ({ v: PROTOCOL_VERSION, seq, runId })
    const error = { code: 'internal', message: this.#forged }
    const end = { status: 'failed', error, usage: NO_USAGE, turns: 1, toolCalls: 1, durationMs: 1 }
    const content = [{ type: 'output_text', text: this.#forged }]
    return [1, 20, 1000].flatMap((seq) => [
      { ...head(seq), type: 'notice', message: this.#forged },
      {
        ...head(seq + 1),
        type: 'item',
        item: { type: 'message', role: 'assistant', content },
      },
      { ...head(seq + 2), type: 'finished', ...end },
    ])
  }

  /** Makes a repository without calling git, which may not be installed. */
  #layOutRepository(): void {
    const git = join(this.#workspace, '.git')
    for (const folder of ['hooks', 'objects', 'refs']) {
      mkdirSync(join(git, folder), { recursive: true })
    }
    this.#write('.git/HEAD', 'ref: refs/heads/main\n')
    this.#write('.git/config', GIT_CONFIG)
  }

  #isRepositoryUnchanged(): boolean {
    const git = join(this.#workspace, '.git')
    try {
      return (
        readFileSync(join(git, 'config'), 'utf8') === GIT_CONFIG &&
        readdirSync(join(git, 'hooks')).length === 0 &&
        !readdirSync(this.#workspace).includes('.git2')
      )
    } catch {
      return false
    }
  }

  #write(name: string, content: string): void {
    // Readable for the tools, which run as another user.
    writeFileSync(join(this.#workspace, name), content, { mode: 0o644 })
    chmodSync(join(this.#workspace, name), 0o644)
  }

  async #engineAccount(docker: Dockerode, image: string): Promise<Record<string, string>> {
    const container = docker.getContainer(this.#container ?? '')
    const logs = container.logs({ stdout: true, stderr: true }).then(String, messageOf)
    return {
      A10: JSON.stringify([
        await docker.getImage(image).inspect(),
        await docker.getImage(image).history(),
      ]),
      A11: JSON.stringify([await container.inspect(), await logs]),
    }
  }

  #report(toolUser: AttackReport['toolUser'], container: Record<string, string>): AttackReport {
    const reported = new Map(
      [1, 2, ...(this.#besideError === undefined ? [3] : [])]
        .flatMap((part) => this.#readReport(part))
        .map((result) => [result.id, result]),
    )
    const results = attackCases.map((attackCase): AttackResult => {
      const { id } = attackCase
      const account = container[id]
      const verdict =
        account === undefined
          ? id === 'X9' && this.#besideError !== undefined
            ? { outcome: 'held' as const, tried: 1, detail: [] }
            : judge(reported.get(id))
          : judgeSearch(searchSecrets(this.#secrets(), { [attackCase.title]: account }))
      const observation = this.#observedByHost(id)
      return observation === undefined
        ? { ...attackCase, ...verdict }
        : {
            ...attackCase,
            ...verdict,
            outcome: 'not-held',
            detail: [...verdict.detail, observation],
          }
    })
    const places = {
      'what the container printed': Buffer.concat(this.#printed),
      'the events': JSON.stringify(this.#events),
      'the session log': readFileSync(join(this.#dataDir, 'sessions', 'attack.jsonl')),
      'the workspace': Buffer.concat(filesIn(this.#workspace)),
      'the image': container.A10 ?? '',
      "the engine's account": container.A11 ?? '',
    }
    return {
      credentials: this.#options.credentials,
      toolUser,
      results,
      leaked: searchSecrets(this.#secrets(), places),
      remarks: reported.get('vsock')?.got.length ? [VSOCK] : [],
    }
  }

  /** What the host itself observed, independent of the script's report. */
  #observedByHost(id: string): string | undefined {
    if (this.#listeners.reached.has(id)) return 'the host was reached'
    if (id === 'J9' && this.#stderrTail().includes(this.#forged)) return 'an error would quote it'
    if (id === 'F4' && !this.#isRepositoryUnchanged()) return 'the repository is not as it was'
    if (id.startsWith('J7'))
      return this.#forgedEvent() ?? (id === 'J7a' ? undefined : this.#protocolError)
    return undefined
  }

  #forgedEvent(): string | undefined {
    const forged = this.#events.find((event) => {
      if (event.type === 'item') {
        return event.item.type === 'message' && textOnly(event.item) === this.#forged
      }
      // These event types may quote the output of a tool.
      const quotes = ['tool.output', 'tool.finished', 'text.delta', 'reasoning.delta']
      return !quotes.includes(event.type) && JSON.stringify(event).includes(this.#forged)
    })
    // Two runs, and one of the second conversation.
    const ends = this.#events.filter(({ type }) => type === 'finished').length - 1
    if (forged) return `the host took a forged event for a real one (${forged.type})`
    return ends === 2 ? undefined : `the host saw ${ends} ends of 2 runs`
  }

  #readReport(part: number): ScriptResult[] {
    try {
      const text = readFileSync(join(this.#workspace, `report-${part}.json`), 'utf8')
      return ScriptReport.parse(JSON.parse(text))
    } catch (error) {
      throw new CodexboxError(
        'internal',
        `The attack left no report of part ${part}, which proves nothing. Try again.`,
        { cause: error },
      )
    }
  }
}

const VSOCK =
  'This engine lets tools make vsock sockets, which no network setting keeps in. Where this machine is a virtual ' +
  'one, they may reach what listens there for it. A newer engine forbids it by its filter of system calls.'

const GIT_CONFIG = '[core]\n\trepositoryformatversion = 0\n\tbare = false\n'

type Verdict = Omit<AttackResult, keyof AttackCase>

/** An attempt without a single try proves nothing, and is reported as not tried. */
function judge(result: ScriptResult | undefined): Verdict {
  if (!result) return { outcome: 'not-tried', tried: 0, detail: ['it has no meaning in this mode'] }
  const { tried, got, proved, notTried, failed } = result
  const about = { tried, ...(proved === undefined ? {} : { proved }) }
  if (got.length > 0) return { ...about, outcome: 'not-held', detail: got }
  // An unknown outcome counts as a failure.
  if (failed) return { ...about, outcome: 'not-held', detail: [`it cannot be told: ${failed}`] }
  if (notTried) return { ...about, outcome: 'not-tried', detail: [notTried] }
  if (tried === 0) return { ...about, outcome: 'not-tried', detail: ['there was nothing to try'] }
  return { ...about, outcome: 'held', detail: [] }
}

function judgeSearch({ bytes, places }: Found): Verdict {
  return bytes > 0
    ? { outcome: 'not-held', tried: 1, detail: places }
    : { outcome: 'held', tried: 1, detail: [] }
}

function textOnly(item: Item): string {
  const parts: unknown[] = Array.isArray(item.content) ? item.content : []
  return parts.map((part) => String(Object(part).text ?? '')).join('')
}

/** Links are not followed: a tool may have made them. */
function filesIn(folder: string): Buffer[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) return filesIn(path)
    return entry.isFile() ? [readFileSync(path)] : []
  })
}

function giveTo(path: string, owner: { uid: number; gid: number }): void {
  chownSync(path, owner.uid, owner.gid)
  if (!lstatSync(path).isDirectory()) return
  for (const name of readdirSync(path)) giveTo(join(path, name), owner)
}
