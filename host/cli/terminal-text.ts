/**
 * Makes control characters visible, all but newline and tab. What a model says or a file is called
 * must not be able to move the cursor, change the title or write to the clipboard of the terminal.
 */
export function terminalText(text: string): string {
  return text.replace(/\r\n/g, '\n').replace(/(?![\n\t])\p{Cc}/gu, (char) => {
    return `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`
  })
}

/** One line of at most `columns` characters. */
export function oneLine(text: string, columns: number): string {
  const line = terminalText(text).replace(/\s+/g, ' ').trim()
  return line.length > columns ? `${line.slice(0, Math.max(0, columns - 1))}…` : line
}
