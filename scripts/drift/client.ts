import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { ACCOUNT, signIn } from './accounts.ts'
import type { ClientRun, Credentials } from './recording.ts'
import { AUTHORITY } from './service.ts'

/** The official client, or a test's stand-in. */
export interface OfficialClient {
  /** Such as `codex-cli 0.171.0`. */
  version: string
  command: string
  /** Arguments before all others. */
  prefix: readonly string[]
}

/** The temporary home and workspace of one client. */
export interface ClientFolders {
  home: string
  workspace: string
  remove(): void
}

export interface ClientResult {
  exitCode: number | null
  stdout: string[]
}

/** After this time a client counts as hung. */
const CLIENT_TIMEOUT_MS = 90_000

export function makeFolders(
  run: Pick<ClientRun, 'config' | 'files'>,
  origin: string,
): ClientFolders {
  const folder = mkdtempSync(join(tmpdir(), 'codexbox-drift-'))
  const [home, workspace] = [join(folder, 'home'), join(folder, 'work')]
  for (const path of [home, workspace]) mkdirSync(path)
  if (run.config)
    writeFileSync(join(home, 'config.toml'), run.config.replaceAll('{origin}', origin))
  for (const [name, content] of Object.entries(run.files ?? {})) {
    const path = join(workspace, name)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(
      path,
      typeof content === 'string' ? content : Buffer.from(content.base64, 'base64'),
    )
  }
  return { home, workspace, remove: () => rmSync(folder, { recursive: true, force: true }) }
}

/** Signs the client in, as the recording says. */
export function writeSignIn({ home }: ClientFolders, credentials: Partial<Credentials> = {}): void {
  if (credentials.signedOut) return
  const file = signIn(ACCOUNT, credentials)
  writeFileSync(join(home, 'auth.json'), JSON.stringify(file, null, 2), { mode: 0o600 })
}

/** Runs the client until it exits. `onLine` gets each line of stdout and stderr. */
export async function runClient(
  { command, prefix }: OfficialClient,
  args: readonly string[],
  { home, workspace }: ClientFolders,
  proxyUrl: string,
  onLine: (line: string) => void = () => {},
): Promise<ClientResult> {
  const child = spawn(command, [...prefix, ...args], {
    cwd: workspace,
    // None of this machine's settings, and no route but to the loopback service.
    env: {
      PATH: process.env.PATH,
      HOME: home,
      CODEX_HOME: home,
      TERM: 'dumb',
      HTTPS_PROXY: proxyUrl,
      CODEX_CA_CERTIFICATE: AUTHORITY,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const stdout: string[] = []
  const readers = [child.stdout, child.stderr].map((stream) => createInterface({ input: stream }))
  readers[0]?.on('line', (line) => stdout.push(line))
  for (const reader of readers) reader.on('line', onLine)
  const timer = setTimeout(() => child.kill('SIGKILL'), CLIENT_TIMEOUT_MS)
  const exitCode = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  })
  clearTimeout(timer)
  return { exitCode, stdout }
}
