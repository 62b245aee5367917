// Makes a fresh clone ready: installs and builds, each only when what it depends on has changed.
// Runs before the packages are there, so it uses Node alone.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
if (major < 20 || (major === 20 && minor < 19)) {
  console.error(`codexbox needs Node 20.19 or newer; this is ${process.versions.node}.`)
  process.exit(2)
}

once('node_modules/.codexbox-installed', ['package-lock.json'], () => {
  say('Installing packages (first start only) …')
  // As a Windows shim npm is no executable file; npm_execpath is npm's own script when npm runs us.
  const npm = process.env.npm_execpath
  const [command, args] = npm ? [process.execPath, [npm]] : ['npm', []]
  run(command, [...args, 'ci', '--no-audit', '--no-fund', '--loglevel=error'])
})

once(
  'dist/.built',
  [
    'package-lock.json',
    'scripts',
    'tsconfig.json',
    'tsconfig.build.json',
    'host',
    'shared',
    'setup',
    'container',
  ],
  () => {
    say('Building …')
    run(process.execPath, ['scripts/build.mjs'])
  },
)

/** Runs `work` unless `stamp` holds the digest of `inputs` already: of several starts at once, one does. */
function once(stamp, inputs, work) {
  const path = join(root, stamp)
  const digest = digestOf(inputs)
  const isDone = () => existsSync(path) && readFileSync(path, 'utf8') === digest
  if (isDone()) return
  const release = lock()
  try {
    if (isDone()) return
    work()
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, digest)
  } finally {
    release()
  }
}

/** Waits for another start that installs or builds; takes over the lock of one that has ended without giving it back. */
function lock() {
  const file = join(root, '.ready.lock')
  process.once('exit', () => holderOf(file) === process.pid && rmSync(file))
  for (let isWaiting = false; ; isWaiting = true) {
    try {
      writeFileSync(file, `${process.pid}`, { flag: 'wx' })
      return () => rmSync(file)
    } catch (error) {
      if (error.code !== 'EEXIST') throw error
    }
    const holder = holderOf(file)
    if (holder && !isAlive(holder)) rmSync(file, { force: true })
    else if (!isWaiting) say('Waiting for another start that makes this folder ready …')
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200)
  }
}

function holderOf(file) {
  try {
    return Number(readFileSync(file, 'utf8'))
  } catch {
    return undefined
  }
}

function isAlive(pid) {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return error.code === 'EPERM'
  }
}

function digestOf(inputs) {
  const hash = createHash('sha256')
  for (const file of inputs.flatMap(filesOf))
    hash
      .update(`${file}\0`)
      .update(readFileSync(join(root, file)))
      .update('\0')
  return hash.digest('hex')
}

function filesOf(path) {
  if (!existsSync(join(root, path))) return []
  try {
    return readdirSync(join(root, path))
      .sort()
      .flatMap((name) => filesOf(`${path}/${name}`))
  } catch (error) {
    if (error.code === 'ENOTDIR') return [path]
    throw error
  }
}

function run(command, args) {
  // Their output goes to stderr: stdout belongs to the program that is started next.
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: ['ignore', 2, 2] })
  if (error) throw error
  if (status !== 0) process.exit(status ?? 1)
}

function say(text) {
  process.stderr.write(`${text}\n`)
}
