/** One thing the model can do: a file each in `tools/`. */
export interface Tool {
  readonly name: string
  /** Written for the model. */
  readonly description: string
  /** JSON Schema of the arguments. */
  readonly parameters: JsonSchema
  /** Throws `ToolError`, or anything else, for what the model should be told. */
  run(args: ToolArguments, context: ToolContext): Promise<ToolResult>
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
  limits: ToolLimits
  /** Aborted when the run is interrupted. */
  signal: AbortSignal
}

export interface ToolLimits {
  toolMs: number
  toolOutputBytes: number
}

export interface ToolResult {
  ok: boolean
  /** What the model reads. */
  output: string
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

  optionalInteger(name: string, minimum: number): number | undefined {
    if (this.#isAbsent(name)) return undefined
    const value = this.#values[name]
    if (!Number.isSafeInteger(value) || (value as number) < minimum) {
      throw new ToolError(`The argument "${name}" must be an integer of at least ${minimum}.`)
    }
    return value as number
  }

  /** Models write `null` for "not given". */
  #isAbsent(name: string): boolean {
    return this.#values[name] === undefined || this.#values[name] === null
  }
}
