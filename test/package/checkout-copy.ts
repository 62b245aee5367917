import { cpSync, mkdirSync, readdirSync, symlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('../..', import.meta.url))

/** At the top of a checkout, what was installed, built or worked on there. */
const NOT_OURS = ['node_modules', 'dist', 'data', 'workspace', '.git', '.env']

/**
 * Copies the repository to `folder`, with packages but nothing built: builds in the copy do not touch
 * the `dist` that other tests are using.
 */
export function copyCheckout(folder: string): void {
  for (const name of readdirSync(root)) {
    if (!NOT_OURS.includes(name)) cpSync(join(root, name), join(folder, name), { recursive: true })
  }
  linkPackages(readdirSync(join(root, 'node_modules')), folder)
}

/** Links single packages, so that whatever empties `node_modules` does not empty the original. */
export function linkPackages(names: readonly string[], folder: string): void {
  for (const name of names) {
    const link = join(folder, 'node_modules', name)
    mkdirSync(dirname(link), { recursive: true })
    if (!name.startsWith('.codexbox')) symlinkSync(join(root, 'node_modules', name), link)
  }
}
