import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { packageRoot } from '../../host/package-root.ts'

export interface Ended {
  code: number | null
  stdout: string
  stderr: string
}

/**
 * The command line as a real process, with these settings and no others of ours. `onStderr` sees
 * what was said so far, and may write to the input or send a signal.
 */
export async function runCodexbox(
  args: readonly string[],
  env: NodeJS.Dict<string>,
  onStderr: (said: string, child: ReturnType<typeof spawn>) => void = () => {},
): Promise<Ended> {
  const cli = join(packageRoot, 'host', 'cli.ts')
  const { PATH, HOME } = process.env
  const child = spawn(process.execPath, ['--import', 'tsx', cli, ...args], {
    cwd: packageRoot,
    env: { PATH, HOME, ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', (chunk) => {
    stdout += chunk
  })
  child.stderr.on('data', (chunk) => {
    stderr += chunk
    onStderr(stderr, child)
  })
  const [code] = await once(child, 'close')
  return { code, stdout, stderr }
}
