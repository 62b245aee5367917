import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { currentFolder } from './current-folder.ts'

/** The folder of package.json, two or more levels above this file, in source and in dist. */
export const packageRoot = findPackageRoot(import.meta.dirname)

/** Whether this is a checkout (with setup steps for tsx) or an installed package. */
export const isCheckout = existsSync(join(packageRoot, 'setup', 'index.ts'))

export const packageVersion = readVersion()

/** The bundled container script, made by `npm run build`. */
export const agentFile = join(packageRoot, 'dist', 'container', 'agent.cjs')

/** The prefix for any script that is started instead of the container script. */
export const reportFile = join(packageRoot, 'dist', 'container', 'report.cjs')

/** The seccomp profile for tools on Podman. */
export const podmanProfileFile = join(packageRoot, 'dist', 'container', 'seccomp-podman.json')

/** The bundled process that scans workspaces, made by `npm run build`. */
export const scanFile = join(packageRoot, 'dist', 'autorun', 'scan-process.cjs')

/** The command for a setup step, as the user of this installation types it. */
export function setupCommand(step: string): string {
  return isCheckout ? `npx tsx setup/index.ts --step ${step}` : `codexbox-setup --step ${step}`
}

/** The command line, as the user of this installation types it. npm takes options before `--` for its own. */
export function cliCommand(args: string): string {
  const isAtRoot = isCheckout && currentFolder() === packageRoot
  return `${isAtRoot ? 'npm start --' : 'codexbox'} ${args}`
}

function findPackageRoot(from: string): string {
  if (existsSync(join(from, 'package.json'))) return from
  const parent = dirname(from)
  if (parent === from) throw new Error('codexbox: no package.json above its own code')
  return findPackageRoot(parent)
}

function readVersion(): string {
  const text = readFileSync(join(packageRoot, 'package.json'), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}
