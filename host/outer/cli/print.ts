import { printableJson, visible } from '../../../shared/visible-text.ts'

/** Prints a line, or several, on stdout. */
export function print(text: string): void {
  process.stdout.write(`${visible(text)}\n`)
}

/** Prints one line of JSON on stdout. */
export function printJson(value: unknown): void {
  process.stdout.write(`${printableJson(value)}\n`)
}
