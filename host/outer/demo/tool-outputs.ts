import type { FinishedCall } from './conversation.ts'

export interface CommandResult {
  /** Undefined when the command did not finish. */
  exitCode: number | undefined
  /** `exit code: 0`, or another first line of the tool. */
  outcome: string
  output: string
}

export function readCommandResult(output: string): CommandResult {
  // A command can print such lines too; the lines before `output:` are the tool's own.
  const [head = ''] = output.split(/^output:$/m, 1)
  const exitCode = /^exit code: (-?\d+)$/m.exec(head)?.[1]
  const [outcome = ''] = head.split('\n', 1)
  return {
    exitCode: exitCode === undefined ? undefined : Number(exitCode),
    outcome,
    output: output.replace(/^[\s\S]*?^output:\n?/m, '').trimEnd(),
  }
}

export interface Listing {
  files: { path: string; bytes: number }[]
  folders: string[]
}

/** Skips lines that are neither a file nor a folder (links, notes). */
export function readListing(output: string): Listing {
  const listing: Listing = { files: [], folders: [] }
  for (const line of output.split('\n')) {
    const file = /^(.+?) {2}(\d+) bytes$/.exec(line)
    if (file?.[1]) listing.files.push({ path: file[1], bytes: Number(file[2]) })
    else if (line.endsWith('/')) listing.folders.push(line)
  }
  return listing
}

/** The error message of a call that is not a command, or undefined. */
export function failureOf({ output }: FinishedCall): string | undefined {
  return /^error:\s*(.*)/i.exec(output)?.[1]
}

/** A call in one line, for the user. */
export function describeCall({ name, arguments: args, output }: FinishedCall): string {
  const about = args.command ?? args.path
  const subject = typeof about === 'string' ? ` ${inOneLine(about)}` : ''
  const [firstLine = ''] = output.split('\n', 1)
  const showsFirstLine = name === 'bash' || name === 'write_file' || firstLine.startsWith('error:')
  const result = showsFirstLine ? inOneLine(firstLine) : `${Buffer.byteLength(output)} bytes read`
  return `${name}${subject}: ${result}`
}

/** Tool output as an indented block, which its content cannot close. */
export function quote(text: string, maxLines = 40, maxLineLength = 400): string {
  const lines = text.split('\n')
  const shown = lines
    .slice(0, maxLines)
    .map(
      (line) => `    ${line.length > maxLineLength ? `${line.slice(0, maxLineLength)} …` : line}`,
    )
  const omitted = lines.length - shown.length
  return [
    ...shown,
    ...(omitted > 0 ? [`    … and ${omitted} more ${omitted === 1 ? 'line' : 'lines'}`] : []),
  ].join('\n')
}

function inOneLine(text: string): string {
  const line = text.trim().replace(/\s+/g, ' ')
  return line.length > 80 ? `${line.slice(0, 79)}…` : line
}
