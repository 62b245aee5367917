import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const root = fileURLToPath(new URL('..', import.meta.url))

/**
 * A script of the repository as one file for plain Node, with that of the renewal beside it, so that a
 * test that starts it thirty times does not wait for tsx. The function it resolves with lays it out in `folder` as an installed
 * package is, and returns the path of the script.
 */
export async function scriptPackage(script: string): Promise<(folder: string) => string> {
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: [script, 'host/auth/renewal-process.ts'],
    outdir: 'dist',
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
    write: false,
  })
  return (folder) => {
    const file = join(folder, 'dist', script.replace(/\.ts$/, '.js'))
    mkdirSync(dirname(file), { recursive: true })
    for (const { path, contents } of outputFiles) {
      writeFileSync(join(dirname(file), basename(path)), contents)
    }
    for (const path of ['package.json', 'node_modules', join('dist', 'container')]) {
      symlinkSync(join(root, path), join(folder, path))
    }
    return file
  }
}
