import type { Sessions } from './sessions.ts'

/** A tool of the model: a file each in `tools/`. */
export type Tool = FunctionTool | FreeFormTool

/** A tool that is called with a JSON object. */
export interface FunctionTool extends ToolHead {
  /** JSON Schema of the arguments. */
  readonly parameters: JsonSchema
  /** Throws `ToolError`, or any other error; the model gets its message. */
  run(args: ToolArguments, context: ToolContext): Promise<ToolResult>
}

/** A tool that is called with a text in its own grammar: nothing in it has to be escaped. */
export interface FreeFormTool extends ToolHead {
  /** In the notation of Lark; the service makes the model follow it. */
  readonly grammar: string
  /** Throws `ToolError`, or any other error; the model gets its message. */
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
  /** The base of relative paths, and the working directory of bash. */
  workspace: string
  /** Of commands. Never for a process of ours. */
  environment: Readonly<NodeJS.ProcessEnv>
  limits: ToolLimits
  /** Aborted when the run is interrupted. */
  signal: AbortSignal
  /** The commands that outlived their call. */
  sessions: Sessions
  /** Gets the output of a running tool, for the user to watch. */
  onOutput(chunk: Buffer): void
}

export interface ToolLimits {
  toolMs: number
  toolOutputBytes: number
}

export interface ToolResult {
  ok: boolean
  /** For the model. */
  output: string
  /** For the model, as data URLs. */
  images?: string[]
  /** One line for the user. */
  summary: string
}

/** A failure whose message is for the model to act on. */
export class ToolError extends Error {
  override readonly name = 'ToolError'
}

/** The arguments of a call: the model wrote the object, so every field is checked on use. */
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

  /** False when absent. */
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
 * The text for a free-form tool. Models that know such a tool as a function put the text into an object.
 * @throws ToolError when there is no text.
 */
export function freeFormInput(input: unknown): string {
  if (typeof input === 'string') return input
  const args = new ToolArguments(input)
  return args.optionalString('input') ?? args.optionalString('patch') ?? args.string('input')
}
