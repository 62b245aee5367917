import { styleText } from 'node:util'
import { oneLine, visible } from '../../../shared/visible-text.ts'
import { readConfig } from '../../config.ts'
import { takesEscapes } from '../../terminal.ts'
import type { AttackReport, AttackResult } from '../doctor/attack/attack.ts'
import { diagnose } from '../doctor/diagnose.ts'
import type { Finding, Level } from '../doctor/finding.ts'
import { plural, seconds } from './format-counts.ts'
import { printJson } from './print.ts'
import { Screen } from './screen.ts'

export interface DoctorOptions {
  json?: boolean
  /** Makes no request beyond this machine. */
  offline?: boolean
  /** Runs the attempts of a hostile tool in a separate container. */
  attack?: boolean
}

/** Explains this machine, or attacks a container on it. Resolves with the exit code. */
export async function doctorCommand(options: DoctorOptions): Promise<number> {
  return options.attack ? attackCommand(options) : diagnoseCommand(options)
}

async function diagnoseCommand({ json, offline = false }: DoctorOptions): Promise<number> {
  const screen = new Screen()
  if (!json) screen.waiting('looking')
  const findings = await diagnose({ offline })
  screen.still()
  const hasNone = !findings.some(({ level }) => level === 'problem')
  if (json) printJson({ ok: hasNone, checks: findings })
  else for (const finding of findings) printFinding(finding)
  return hasNone ? 0 : 1
}

const LOOKS = { ok: ['green', '✓'], warning: ['yellow', '!'], problem: ['red', '✗'] } as const

const NAME_WIDTH = 13

function printFinding({ check, level, message, advice }: Finding & { check: string }): void {
  print(`${mark(level)} ${check.padEnd(NAME_WIDTH)}${visible(message)}`)
  if (advice) print(`${' '.repeat(NAME_WIDTH + 2)}${style('dim', `→ ${advice}`)}`)
}

async function attackCommand({ json }: DoctorOptions): Promise<number> {
  const { attack } = await import('../doctor/attack/attack.ts')
  const config = readConfig()
  const screen = new Screen()
  const startedAt = performance.now()
  let report: AttackReport
  try {
    report = await attack({
      config,
      credentials: config.credentials,
      onProgress: (text) => {
        if (!json) screen.waiting('attacking a container', text)
      },
    })
  } finally {
    screen.still()
  }
  const isHeld = report.leaked.bytes === 0 && !report.results.some(isNotHeld)
  if (json) printJson({ ok: isHeld, ...report })
  else printAttack(report, performance.now() - startedAt)
  return isHeld ? 0 : 1
}

const isNotHeld = ({ outcome }: AttackResult) => outcome === 'not-held'

function printAttack(
  { credentials, toolUser, results, leaked, remarks }: AttackReport,
  ms: number,
): void {
  const areas = [...new Set(results.map(({ area }) => area))]
  for (const area of areas) {
    print(style('bold', area))
    for (const result of results.filter((result) => result.area === area)) printResult(result)
  }
  const theft = results.filter(({ area }) => area === 'theft')
  const failed = results.filter(isNotHeld)
  const tries = results.reduce((sum, { tried }) => sum + tried, 0)
  print('')
  print(
    style(
      leaked.bytes > 0 || failed.length > 0 ? 'red' : 'green',
      `${theft.filter(isNotHeld).length} of ${theft.length} ways of theft, ${leaked.bytes} bytes of a secret` +
        `${leaked.places.length > 0 ? ` (in ${leaked.places.join(', ')})` : ''}; ` +
        `${failed.length} of ${results.length} attempts got something.`,
    ),
  )
  print(
    style(
      'dim',
      `${credentials} · tools as user ${toolUser.uid} · ${plural(tries, 'try').replace(/trys$/, 'tries')} · ${seconds(ms)}`,
    ),
  )
  for (const remark of remarks) print(style('yellow', remark))
}

function printResult({ id, title, outcome, tried, detail }: AttackResult): void {
  const words = { held: 'held', 'not-held': 'NOT HELD', 'not-tried': 'not tried' }
  const level: Level = outcome === 'held' ? 'ok' : outcome === 'not-held' ? 'problem' : 'warning'
  const line = `${mark(level)} ${words[outcome].padEnd(10)}${id.padEnd(6)}${title}`
  print(`${line}${style('dim', outcome === 'held' ? `  ${tried}` : '')}`)
  for (const text of detail) print(`    ${style('dim', oneLine(text, 160))}`)
}

function mark(level: Level): string {
  const [colour, sign] = LOOKS[level]
  return style(colour, sign)
}

/** Writes a line as it is: its parts are styled already, or constants. */
function print(line: string): void {
  process.stdout.write(`${line}\n`)
}

function style(format: Parameters<typeof styleText>[0], text: string): string {
  const shown = visible(text)
  return takesEscapes(process.stdout) && !process.env.NO_COLOR ? styleText(format, shown) : shown
}
