import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readdirSync, symlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('../..', import.meta.url))

/**
 * Copies what belongs to the repository to `folder`, with packages but nothing built: builds in the
 * copy do not touch the `dist` that other tests are using.
 */
export function copyCheckout(folder: string): void {
  const list = ['ls-files', '-z', '--cached', '--others', '--exclude-standard']
  const files = execFileSync('git', list, { cwd: root, encoding: 'utf8' }).split('\0')
  for (const file of files) {
    if (!file || !existsSync(join(root, file))) continue
    cpSync(join(root, file), join(folder, file))
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
