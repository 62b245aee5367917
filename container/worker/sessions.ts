import { randomInt } from 'node:crypto'
import type { Command } from './command.ts'
import { ToolError, type ToolResult } from './tool.ts'

const MAX_SESSIONS = 16

/** A command that goes on, as the agent is told of it. */
export interface Session {
  /** What the model knows it by. */
  id: number
  /** Of its shell. */
  pid: number
  title: string
}

/** The commands that went on after their call had returned, each under a number the model knows. */
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

  /** @throws ToolError when there is none of that number. */
  get(id: number): Command {
    const command = this.#commands.get(id)
    if (command) return command
    throw new ToolError(`There is no session ${id}; its command has ended, or it never was.`)
  }

  /** What the model is told of a command: it has ended, or it is a session from now on. */
  report(command: Command): ToolResult {
    const id = this.#idOf(command)
    const { outcome } = command
    if (outcome) this.#commands.delete(id)
    else this.#keep(id, command)
    const { ok, text } = outcome ?? { ok: true, text: `running with session id ${id}` }
    const output = `${text}\nwall time: ${command.seconds} s\noutput:\n${command.takeOutput()}`
    return { ok, output, summary: text }
  }

  #keep(id: number, command: Command): void {
    this.#commands.set(id, command)
    if (this.#commands.size <= MAX_SESSIONS) return
    // Whoever has never asked how a command ended will not ask any more.
    for (const [other, { hasEnded }] of this.#commands) {
      if (hasEnded) return void this.#commands.delete(other)
    }
  }

  /** Drawn, not counted: a number from a worker that was lost must not mean another command. */
  #idOf(command: Command): number {
    for (const [id, known] of this.#commands) if (known === command) return id
    const id = randomInt(10_000, 100_000)
    return this.#commands.has(id) ? this.#idOf(command) : id
  }
}
