import type { Config } from '../host/config.ts'

/** The outcome of a step. `fields` are printed as the status block for programs. */
export type StepResult =
  | { status: 'done' | 'unchanged'; fields: Record<string, string>; detail: string }
  /** `fix` is advice for the user. `isWrongUse`: the arguments were invalid and nothing was tried. */
  | {
      status: 'failed'
      fields: Record<string, string>
      detail: string
      fix: string
      isWrongUse?: true
    }

/** One step of the setup, run by name: `--step <name> [args]`. Idempotent. */
export interface Step {
  readonly name: string
  /** One line for the list of steps. */
  readonly summary: string
  run(args: readonly string[], config: Config): Promise<StepResult>
}

/** Refuses any argument to a step that takes none. */
export function refuseArguments(name: string, [first]: readonly string[]): StepResult | undefined {
  if (first === undefined) return undefined
  return {
    status: 'failed',
    fields: {},
    detail: `The step ${name} takes no argument, and was given ${first}.`,
    fix: 'Leave it out.',
    isWrongUse: true,
  }
}
