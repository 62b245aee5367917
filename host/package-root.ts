import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { currentFolder } from './current-folder.ts'

/** The folder with our package.json: two or more above this file, whether it runs from source or dist. */
export const packageRoot = findPackageRoot(import.meta.dirname)

/** Whether this is a checkout (its setup steps can be run with tsx) or an installed package. */
export const isCheckout = existsSync(join(packageRoot, 'setup', 'index.ts'))

export const packageVersion = readVersion()

/** The container script as one file. `npm run build` makes it. */
export const agentFile = join(packageRoot, 'dist', 'container', 'agent.cjs')

/** What has to stand ahead of any other script that is started in the place of the container script. */
export const reportFile = join(packageRoot, 'dist', 'container', 'report.cjs')

/** What tools may not ask of the kernel on Podman. */
export const podmanProfileFile = join(packageRoot, 'dist', 'container', 'seccomp-podman.json')

/** The process that looks at workspaces as one file. `npm run build` makes it. */
export const scanFile = join(packageRoot, 'dist', 'autorun', 'scan-process.cjs')

/** The command that runs a setup step, as the person at this installation has to type it. */
export function setupCommand(step: string): string {
  return isCheckout ? `npx tsx setup/index.ts --step ${step}` : `codexbox-setup --step ${step}`
}

/** The command line, as it has to be typed here. npm takes options that stand before `--` for its own. */
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
