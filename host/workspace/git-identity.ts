import { execFile } from 'node:child_process'

const GIT_MS = 2000

/**
 * A git config with the user's global name and address; a repository may override them. Undefined where git
 * is not installed, or has neither.
 */
export function gitIdentity(env: NodeJS.ProcessEnv = process.env): Promise<string | undefined> {
  return new Promise((resolve) => {
    try {
      execFile(
        'git',
        ['config', '--null', '--get-regexp', '^user\\.(name|email)$'],
        // Outside any repository: an agent may have written the config of one.
        { cwd: '/', env: { ...env, GIT_DIR: '/dev/null' }, timeout: GIT_MS },
        (_, stdout) => resolve(configOf(String(stdout), env)),
      )
    } catch {
      // Node throws some errors of a start synchronously, such as ENOMEM.
      resolve(configOf('', env))
    }
  })
}

function configOf(listed: string, env: NodeJS.ProcessEnv): string | undefined {
  const config = new Map<string, string>()
  for (const entry of listed.split('\0')) {
    const [key = ''] = entry.split('\n', 1)
    config.set(key, entry.slice(key.length + 1))
  }
  // In git's order: these override any config.
  const name = env.GIT_AUTHOR_NAME || config.get('user.name')
  const email = env.GIT_AUTHOR_EMAIL || config.get('user.email') || env.EMAIL
  const lines = Object.entries({ name, email }).flatMap(([key, value]) =>
    value ? [`\t${key} = ${quoted(value)}\n`] : [],
  )
  return lines.length > 0 ? `[user]\n${lines.join('')}` : undefined
}

function quoted(value: string): string {
  const escaped = value.replace(/["\\]/g, '\\$&').replaceAll('\n', ' ').replaceAll('\t', '\\t')
  return `"${escaped}"`
}
