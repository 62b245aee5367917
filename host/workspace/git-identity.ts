import { execFile } from 'node:child_process'

const GIT_MS = 2000

/**
 * A git config that names the person whose commits are made on this machine, as git has it for all repositories; a
 * repository may name another one. Undefined where git is not installed, or has no name and no address.
 */
export function gitIdentity(env: NodeJS.ProcessEnv = process.env): Promise<string | undefined> {
  return new Promise((resolve) => {
    try {
      execFile(
        'git',
        ['config', '--null', '--get-regexp', '^user\\.(name|email)$'],
        // In no repository: a config that an agent has written is not asked.
        { cwd: '/', env: { ...env, GIT_DIR: '/dev/null' }, timeout: GIT_MS },
        (_, stdout) => resolve(configOf(String(stdout), env)),
      )
    } catch {
      // Node throws some of the errors of a start, such as for want of memory.
      resolve(configOf('', env))
    }
  })
}

function configOf(listed: string, env: NodeJS.ProcessEnv): string | undefined {
  const known = new Map<string, string>()
  for (const entry of listed.split('\0')) {
    const [key = ''] = entry.split('\n', 1)
    known.set(key, entry.slice(key.length + 1))
  }
  // As git does, which has these go before any config.
  const name = env.GIT_AUTHOR_NAME || known.get('user.name')
  const email = env.GIT_AUTHOR_EMAIL || known.get('user.email') || env.EMAIL
  const lines = Object.entries({ name, email }).flatMap(([key, value]) =>
    value ? [`\t${key} = ${quoted(value)}\n`] : [],
  )
  return lines.length > 0 ? `[user]\n${lines.join('')}` : undefined
}

function quoted(value: string): string {
  const escaped = value.replace(/["\\]/g, '\\$&').replaceAll('\n', ' ').replaceAll('\t', '\\t')
  return `"${escaped}"`
}
