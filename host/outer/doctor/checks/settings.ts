import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { parseEnv } from 'node:util'
import { type Check, ok, problem, warning } from '../finding.ts'

/** Names the settings and their sources; never their values. */
export const settingsCheck: Check = {
  name: 'settings',
  look({ config, env, cwd, configError }) {
    if (configError) return problem(configError.message)
    const file = join(cwd ?? '', '.env')
    const inEnv = namesIn(env)
    const { notFollowed } = config
    const inFile = namesIn(readEnv(file)).filter(
      (name) => !inEnv.includes(name) && !notFollowed?.includes(name),
    )
    const parts = [
      inEnv.length > 0 ? `${inEnv.join(', ')} from the environment` : '',
      inFile.length > 0 ? `${inFile.join(', ')} from ${file}` : '',
    ].filter(Boolean)
    if (notFollowed) return warning([...parts, notFollowed].join('; '))
    return ok(parts.length > 0 ? `Set: ${parts.join('; ')}.` : 'Nothing is set: all as usual.')
  },
}

function namesIn(values: NodeJS.Dict<string>): string[] {
  return Object.keys(values)
    .filter((name) => /^(AGENT_|CODEX_|CODEXBOX_|OPENAI_)/.test(name) && values[name])
    .sort()
}

function readEnv(file: string): NodeJS.Dict<string> {
  try {
    // Reading a named pipe would block for ever.
    return statSync(file).isFile() ? parseEnv(readFileSync(file, 'utf8')) : {}
  } catch {
    return {} // No file, or an unreadable one, which `configError` reports.
  }
}
