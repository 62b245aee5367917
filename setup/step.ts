import type { Config } from '../host/config.ts'

/** What a step came to. `fields` are printed as the status block that other programs read. */
export type StepResult =
  | { status: 'done' | 'unchanged'; fields: Record<string, string>; detail: string }
  /** `fix` is what the person can do about it. `isWrongUse`: the arguments, nothing was tried. */
  | {
      status: 'failed'
      fields: Record<string, string>
      detail: string
      fix: string
      isWrongUse?: true
    }

/** One step of the setup, run by name: `--step <name> [args]`. Running it twice does no harm. */
export interface Step {
  readonly name: string
  /** One line for the list of steps. */
  readonly summary: string
  run(args: readonly string[], config: Config): Promise<StepResult>
}

/** The refusal of whatever argument is given to a step that takes none. */
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
