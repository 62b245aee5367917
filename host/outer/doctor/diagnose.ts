import { messageOf } from '../../../shared/errors.ts'
import { readConfig } from '../../config.ts'
import { currentFolder } from '../../current-folder.ts'
import { withDeadline } from '../../net/with-deadline.ts'
import { clockCheck } from './checks/clock.ts'
import { dataFolderCheck } from './checks/data-folder.ts'
import { engineCheck } from './checks/engine.ts'
import { imageCheck } from './checks/image.ts'
import { leftoversCheck } from './checks/leftovers.ts'
import { locksCheck } from './checks/locks.ts'
import { nodeCheck } from './checks/node.ts'
import { proxyCheck } from './checks/proxy.ts'
import { sandboxCheck } from './checks/sandbox.ts'
import { settingsCheck } from './checks/settings.ts'
import { signInCheck } from './checks/sign-in.ts'
import { type Check, type Finding, type Machine, problem, warning } from './finding.ts'

/** In display order. */
const checks: readonly Check[] = [
  nodeCheck,
  settingsCheck,
  signInCheck,
  dataFolderCheck,
  locksCheck,
  engineCheck,
  imageCheck,
  sandboxCheck,
  leftoversCheck,
  proxyCheck,
  clockCheck,
]

/** Interactive: keep the command under 5 s. */
const DEADLINE_MS = 5000

export type Diagnosis = (Finding & { check: string })[]

export interface DiagnoseOptions extends Partial<Pick<Machine, 'env' | 'cwd' | 'offline'>> {
  /** For each check. Default: 5 seconds. */
  deadlineMs?: number
}

/**
 * Checks everything that a run needs, all checks concurrently. Starts a short-lived container, removes
 * leftovers of killed hosts, as each run does, and changes nothing else. Never rejects.
 */
export async function diagnose(options: DiagnoseOptions = {}): Promise<Diagnosis> {
  const { env = process.env, cwd = currentFolder(), offline = false } = options
  const machine = { ...settingsOf(env, cwd), env, cwd, offline }
  return Promise.all(
    checks.map(async (check) => ({
      check: check.name,
      ...(await withinDeadline(check, machine, options.deadlineMs ?? DEADLINE_MS)),
    })),
  )
}

function settingsOf(
  env: NodeJS.ProcessEnv,
  cwd: string | undefined,
): Pick<Machine, 'config'> & { configError?: Error } {
  try {
    return { config: readConfig(env, cwd) }
  } catch (error) {
    // The other checks still run, with the default settings.
    return {
      config: readConfig({ CODEX_DATA_DIR: env.CODEX_DATA_DIR }, '/'),
      configError: error instanceof Error ? error : new Error(String(error)),
    }
  }
}

async function withinDeadline(
  check: Check,
  machine: Machine,
  deadlineMs: number,
): Promise<Finding> {
  try {
    return await withDeadline(deadlineMs, undefined, (signal) =>
      Promise.race([check.look(machine, signal), onDeadline(signal)]),
    )
  } catch (error) {
    return problem(messageOf(error))
  }
}

function onDeadline(signal: AbortSignal): Promise<Finding> {
  return new Promise((resolve) => {
    signal.addEventListener('abort', () =>
      resolve(warning(`${messageOf(signal.reason)}, so it was not waited for.`, 'Try again.')),
    )
  })
}
