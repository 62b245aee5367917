import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { packageRoot } from '../../host/package-root.ts'

let folder: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'codexbox-ready-'))
  for (const name of ['scripts', 'node_modules']) mkdirSync(join(folder, name))
  copyFileSync(join(packageRoot, 'scripts/ready.mjs'), join(folder, 'scripts/ready.mjs'))
  writeFileSync(join(folder, 'package-lock.json'), '{}')
  // In the place of npm and of the build: each takes a while, and notes when it begins and ends.
  for (const name of ['npm.mjs', 'scripts/build.mjs']) {
    writeFileSync(
      join(folder, name),
      `import { appendFileSync } from 'node:fs'
      appendFileSync('done', '${name} begins\\n')
      setTimeout(() => appendFileSync('done', '${name} ends\\n'), 300)`,
    )
  }
})

afterEach(() => rmSync(folder, { recursive: true, force: true }))

async function ready(): Promise<unknown> {
  const child = spawn(process.execPath, ['scripts/ready.mjs'], {
    cwd: folder,
    env: { ...process.env, npm_execpath: join(folder, 'npm.mjs') },
    stdio: 'ignore',
  })
  const [code] = await once(child, 'exit')
  return code
}

const ONCE = [
  ...['npm.mjs begins', 'npm.mjs ends'],
  ...['scripts/build.mjs begins', 'scripts/build.mjs ends'],
]
const done = () => readFileSync(join(folder, 'done'), 'utf8').trim().split('\n')

test('of starts at the same time one installs and builds, and the others wait for it', async () => {
  expect(await Promise.all([ready(), ready(), ready()])).toEqual([0, 0, 0])

  expect(done()).toEqual(ONCE)
  expect(existsSync(join(folder, '.ready.lock'))).toBe(false)
})

test('a start that was killed meanwhile keeps no other from it', async () => {
  writeFileSync(join(folder, '.ready.lock'), `${2 ** 22 + 1}`)

  expect(await ready()).toBe(0)
  expect(done()).toEqual(ONCE)
})
