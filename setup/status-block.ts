import { visible } from '../shared/visible-text.ts'

/**
 * The machine-readable block on stdout: the step, `KEY: value` lines, an end line. A value is one
 * line, or it could forge further lines.
 */
export function statusBlock(step: string, fields: Record<string, string>): string {
  const title = step.toUpperCase().replaceAll('-', '_')
  const lines = Object.entries(fields).map(([key, value]) => `${key}: ${singleLine(value)}`)
  return [`=== NANOCLAW SETUP: ${title} ===`, ...lines, '=== END ==='].join('\n')
}

function singleLine(value: string): string {
  return visible(value.replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, ' ').trim())
}
