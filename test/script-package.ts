import { chmodSync, mkdtempSync, realpathSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { afterAll } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))

/**
 * A script of the repository as one file for plain Node, laid out as in an installed package, with
 * that of the renewal beside it; resolves with its path. The packages are in it too: so it starts in a
 * quarter of the time that tsx takes. Call it at the top of a test file, with whose last test it goes.
 */
export async function scriptPackage(script: string): Promise<string> {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'codexbox-script-')))
  afterAll(() => rmSync(folder, { recursive: true, force: true }))
  // Some are started as another user.
  chmodSync(folder, 0o755)
  const outdir = join(folder, 'dist', dirname(script))
  const name = basename(script, '.ts')
  await build({
    absWorkingDir: root,
    entryPoints: { [name]: script, 'renewal-process': 'host/auth/renewal/renewal-process.ts' },
    outdir,
    bundle: true,
    platform: 'node',
    format: 'esm',
    logLevel: 'error',
    // Of ssh, which does without.
    external: ['*.node'],
    banner: { js: OLD_FORMAT },
  })
  for (const path of ['package.json', join('dist', 'container'), join('dist', 'autorun')]) {
    symlinkSync(join(root, path), join(folder, path))
  }
  return join(outdir, `${name}.js`)
}

/** What packages in the old module format ask for. */
const OLD_FORMAT = `
import { createRequire as newRequire } from 'node:module'
const require = newRequire(import.meta.url)
const __dirname = import.meta.dirname
`
