// Builds dist/: the host and the setup steps with tsc, what runs as a process of its own as one file with esbuild.
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const root = dirname(dirname(fileURLToPath(import.meta.url)))

/** CommonJS: it starts 3 ms sooner than an ES module. A container needs one of these files and no second one. */
export async function buildAgent() {
  mkdirSync(join(root, 'dist/container'), { recursive: true })
  const metafile = await bundle('container/main.ts', 'dist/container/agent.cjs')
  // Kept beside the bundle, so that a test can prove what went into it.
  replaceFile(join(root, 'dist/container/agent.meta.json'), JSON.stringify(metafile))
  // In a scope of its own, since it stands ahead of other code.
  await bundle('container/report.ts', 'dist/container/report.cjs', 'iife')
  const profile = 'container/seccomp-podman.json'
  replaceFile(join(root, 'dist', profile), readFileSync(join(root, profile)))
}

/** Started from here also where the host runs from its source. */
export async function buildScan() {
  mkdirSync(join(root, 'dist/autorun'), { recursive: true })
  await bundle('host/outer/autorun/scan-process.ts', 'dist/autorun/scan-process.cjs')
}

async function bundle(entry, outfile, format = 'cjs') {
  const result = await build({
    absWorkingDir: root,
    entryPoints: [entry],
    outfile,
    bundle: true,
    platform: 'node',
    target: 'node20',
    format,
    metafile: true,
    // A container is ready sooner by two of the eight milliseconds that it takes to compile the script.
    minifySyntax: true,
    minifyWhitespace: true,
    legalComments: 'none',
    write: false,
  })
  for (const { path, contents } of result.outputFiles) replaceFile(path, contents)
  return result.metafile
}

/**
 * Whole at any moment: a container that is started meanwhile gets the old script or the new one. For every user,
 * whatever the umask: in a container it is read by others.
 */
function replaceFile(path, contents) {
  writeFileSync(`${path}.${process.pid}`, contents)
  chmodSync(`${path}.${process.pid}`, 0o644)
  renameSync(`${path}.${process.pid}`, path)
}

function buildHost() {
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  const { status } = spawnSync(process.execPath, [tsc, '-p', 'tsconfig.build.json'], {
    cwd: root,
    stdio: 'inherit',
  })
  if (status !== 0) throw new Error(`tsc ended with ${status}`)
  for (const bin of ['host/cli.js', 'setup/index.js']) chmodSync(join(root, 'dist', bin), 0o755)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  rmSync(join(root, 'dist'), { recursive: true, force: true })
  mkdirSync(join(root, 'dist'))
  buildHost()
  await buildAgent()
  await buildScan()
}
