import type { Config } from '../../config.ts'

/** `problem`: runs with these settings will fail. `warning`: runs work, and the user should know. */
export type Level = 'ok' | 'warning' | 'problem'

/** The result of one check. */
export interface Finding {
  level: Level
  /** One sentence, without secrets. */
  message: string
  /** What the user should do, if anything. */
  advice?: string
}

/** The input of the checks. */
export interface Machine {
  config: Config
  /** Set when the settings could not be read; `config` then holds the defaults. */
  configError?: Error
  env: NodeJS.ProcessEnv
  cwd: string | undefined
  /** No request leaves this machine. */
  offline: boolean
}

export interface Check {
  name: string
  /** A thrown error counts as a problem. Stops when `signal` aborts. */
  look(machine: Machine, signal: AbortSignal): Promise<Finding> | Finding
}

export const ok = (message: string): Finding => ({ level: 'ok', message })
export const warning = (message: string, advice?: string): Finding => ({
  level: 'warning',
  message,
  ...(advice ? { advice } : {}),
})
export const problem = (message: string, advice?: string): Finding => ({
  level: 'problem',
  message,
  ...(advice ? { advice } : {}),
})
