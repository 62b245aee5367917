import type { Sessions } from './sessions.ts'

/** One thing the model can do: a file each in `tools/`. */
export type Tool = FunctionTool | FreeFormTool

/** A tool that is called with a JSON object. */
export interface FunctionTool extends ToolHead {
  /** JSON Schema of the arguments. */
  readonly parameters: JsonSchema
  /** Throws `ToolError`, or anything else, for what the model should be told. */
  run(args: ToolArguments, context: ToolContext): Promise<ToolResult>
}

/** A tool that is called with a text of a language of its own: nothing in it has to be escaped. */
export interface FreeFormTool extends ToolHead {
  /** In the notation of Lark; the service makes the model follow it. */
  readonly grammar: string
  /** Throws `ToolError`, or anything else, for what the model should be told. */
  run(input: string, context: ToolContext): Promise<ToolResult>
}

interface ToolHead {
  readonly name: string
  /** Written for the model. */
  readonly description: string
}

export interface JsonSchema {
  type: 'object'
  properties: Record<string, { type: string; description: string; minimum?: number }>
  required: string[]
  additionalProperties: false
}

export interface ToolContext {
  /** Relative paths start here, and so does bash. */
  workspace: string
  /** Of commands. Not for a process that is ours. */
  environment: Readonly<NodeJS.ProcessEnv>
  limits: ToolLimits
  /** Aborted when the run is interrupted. */
  signal: AbortSignal
  /** The commands that went on after their call had returned. */
  sessions: Sessions
  /** Takes what a tool puts out while it runs, for a person to watch. */
  onOutput(chunk: Buffer): void
}

export interface ToolLimits {
  toolMs: number
  toolOutputBytes: number
}

export interface ToolResult {
  ok: boolean
  /** What the model reads. */
  output: string
  /** What the model sees beside it, as data URLs. */
  images?: string[]
  /** One line for a person. */
  summary: string
}

/** A failure whose message is for the model to act on. */
export class ToolError extends Error {
  override readonly name = 'ToolError'
}

/** The arguments of a call: an object of the model's making, so every field is checked on use. */
export class ToolArguments {
  readonly #values: Record<string, unknown>

  constructor(values: unknown) {
    if (typeof values !== 'object' || values === null || Array.isArray(values)) {
      throw new ToolError('The arguments must be a JSON object.')
    }
    this.#values = values as Record<string, unknown>
  }

  string(name: string): string {
    const value = this.#values[name]
    if (typeof value !== 'string') throw new ToolError(`The argument "${name}" must be a string.`)
    return value
  }

  optionalString(name: string): string | undefined {
    return this.#isAbsent(name) ? undefined : this.string(name)
  }

  integer(name: string, minimum: number): number {
    const value = this.#values[name]
    if (!Number.isSafeInteger(value) || (value as number) < minimum) {
      throw new ToolError(`The argument "${name}" must be an integer of at least ${minimum}.`)
    }
    return value as number
  }

  optionalInteger(name: string, minimum: number): number | undefined {
    return this.#isAbsent(name) ? undefined : this.integer(name, minimum)
  }

  /** False when it is absent. */
  flag(name: string): boolean {
    if (this.#isAbsent(name)) return false
    const value = this.#values[name]
    if (typeof value !== 'boolean') {
      throw new ToolError(`The argument "${name}" must be true or false.`)
    }
    return value
  }

  /** Models write `null` for "not given". */
  #isAbsent(name: string): boolean {
    return this.#values[name] === undefined || this.#values[name] === null
  }
}

/**
 * The text for a free-form tool. Models that know such a tool as a function put it into an object.
 * @throws ToolError when there is none.
 */
export function freeFormInput(input: unknown): string {
  if (typeof input === 'string') return input
  const args = new ToolArguments(input)
  return args.optionalString('input') ?? args.optionalString('patch') ?? args.string('input')
}
