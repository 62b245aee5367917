import { type SignInStatus, signInStatus } from '../../auth/status.ts'
import { readConfig } from '../../config.ts'
import { exitCodeOfError } from './exit-code.ts'
import { print, printJson } from './print.ts'

/** Prints the sign-in's status without changing anything. Returns the exit code. */
export function statusCommand(options: { json?: boolean }): number {
  const status = signInStatus(readConfig().dataDir)
  if (options.json) printJson(status)
  else print(describe(status, Date.now()))
  return status.signedIn ? 0 : exitCodeOfError('not-signed-in')
}

function describe(status: SignInStatus, now: number): string {
  const { signedIn, account, plan, expiresAt, renewedAt, importedFrom, file, message } = status
  const who = `${account ? ` as ${account}` : ''}${plan ? `, plan ${plan}` : ''}`
  const lines = [
    signedIn ? `Signed in to ChatGPT${who}.` : (message ?? 'Not signed in to ChatGPT.'),
  ]
  if (!signedIn && account) lines.push(`  account   ${account}${plan ? `, plan ${plan}` : ''}`)
  if (expiresAt) lines.push(`  token     ${untilWhen(Date.parse(expiresAt), now, signedIn)}`)
  if (renewedAt) lines.push(`  renewed   ${new Date(renewedAt).toLocaleString()}`)
  if (importedFrom) lines.push(`  imported  from ${importedFrom}; shared with Codex since`)
  lines.push(`  file      ${file}`)
  return lines.join('\n')
}

function untilWhen(endsAt: number, now: number, signedIn: boolean): string {
  const when = new Date(endsAt).toLocaleString()
  if (endsAt > now) return `good until ${when}${signedIn ? '; renewed by itself before' : ''}`
  return `ended ${when}${signedIn ? '; renewed with the next run' : ''}`
}
