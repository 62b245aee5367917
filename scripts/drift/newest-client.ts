import { execFile } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { OfficialClient } from './client.ts'

const run = promisify(execFile)
const PACKAGE = '@openai/codex'

/**
 * Downloads the newest official client for this machine from npm, into a folder that is removed at exit.
 * @throws Error when the registry cannot be reached, or has no client for this machine
 */
export async function newestClient(): Promise<OfficialClient> {
  const folder = mkdtempSync(join(tmpdir(), 'codexbox-client-'))
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  const { stdout } = await npm(['view', `${PACKAGE}@latest`, 'version'], folder)
  const version = stdout.trim()
  // The executable is in a separate package for each platform.
  const packed = await npm(
    ['pack', `${PACKAGE}@${version}-${process.platform}-${process.arch}`],
    folder,
  )
  await run('tar', ['xzf', packed.stdout.trim()], { cwd: folder })
  const vendor = join(folder, 'package', 'vendor')
  const [target] = readdirSync(vendor)
  if (!target) throw new Error(`${PACKAGE} ${version} has no program for this machine`)
  return clientAt(join(vendor, target, 'bin', process.platform === 'win32' ? 'codex.exe' : 'codex'))
}

/** A client that is already on this machine. */
export async function clientAt(command: string, prefix: string[] = []): Promise<OfficialClient> {
  const { stdout } = await run(command, [...prefix, '--version'])
  return { version: stdout.trim(), command, prefix }
}

async function npm(args: string[], cwd: string) {
  try {
    // An npm that runs this script passes on its log level, which may hide errors.
    const withErrors = [...args, '--loglevel=error']
    return await run('npm', withErrors, { cwd, shell: process.platform === 'win32' })
  } catch (error) {
    const stderr = String((error as { stderr?: string }).stderr ?? error)
    const code = /npm error code (\w+)/.exec(stderr)?.[1] ?? 'it failed'
    throw new Error(`the official client cannot be had from npm (${code}). Is there a network?`)
  }
}
