import { randomInt } from 'node:crypto'
import type { Command } from './command.ts'
import { ToolError, type ToolResult } from './tool.ts'

const MAX_SESSIONS = 16

/** A running command, as reported to the agent. */
export interface Session {
  /** The session id that the model knows. */
  id: number
  /** Of its shell. */
  pid: number
  title: string
}

/** The commands that outlived their call, each under an id that the model knows. */
export class Sessions {
  readonly #commands = new Map<number, Command>()

  get isFull(): boolean {
    return (
      [...this.#commands.values()].filter((command) => !command.hasEnded).length >= MAX_SESSIONS
    )
  }

  get running(): Session[] {
    return [...this.#commands].flatMap(([id, { pid, title }]) =>
      pid === undefined ? [] : [{ id, pid, title }],
    )
  }

  /** @throws ToolError for an unknown id. */
  get(id: number): Command {
    const command = this.#commands.get(id)
    if (command) return command
    throw new ToolError(`There is no session ${id}; its command has ended, or it never was.`)
  }

  /** The result for the model: the command has ended, or it is a session from now on. */
  report(command: Command): ToolResult {
    const id = this.#idOf(command)
    const { outcome } = command
    if (outcome) this.#commands.delete(id)
    else this.#add(id, command)
    const { ok, text } = outcome ?? { ok: true, text: `running with session id ${id}` }
    const output = `${text}\nwall time: ${command.seconds} s\noutput:\n${command.takeOutput()}`
    return { ok, output, summary: text }
  }

  #add(id: number, command: Command): void {
    this.#commands.set(id, command)
    if (this.#commands.size <= MAX_SESSIONS) return
    // An ended command that the model has not asked about can be dropped.
    for (const [other, { hasEnded }] of this.#commands) {
      if (hasEnded) return void this.#commands.delete(other)
    }
  }

  /** Random, not counted: an id from a lost worker must not name another command. */
  #idOf(command: Command): number {
    for (const [id, known] of this.#commands) if (known === command) return id
    const id = randomInt(10_000, 100_000)
    return this.#commands.has(id) ? this.#idOf(command) : id
  }
}
