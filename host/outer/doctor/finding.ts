import type { Config } from '../../config.ts'

/** `problem`: runs as they are set up will fail. `warning`: they work, and somebody should know. */
export type Level = 'ok' | 'warning' | 'problem'

/** What a look at one thing came to. */
export interface Finding {
  level: Level
  /** One sentence. Never a secret. */
  message: string
  /** What to do, where something is to be done. */
  advice?: string
}

/** What is looked at. */
export interface Machine {
  config: Config
  /** Why there are no settings but the usual ones, where those that were made cannot be read. */
  configError?: Error
  env: NodeJS.ProcessEnv
  cwd: string | undefined
  /** Nothing is asked that is not on this machine. */
  offline: boolean
}

export interface Check {
  name: string
  /** May throw: that is a problem then. Gives up when `signal` fires. */
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
