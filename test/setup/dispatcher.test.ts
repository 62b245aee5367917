import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdirSync, mkdtempSync, openSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { NO_DOCKER } from '../cli/cli-process.ts'
import { scriptPackage } from '../script-package.ts'

const setupScript = await scriptPackage('setup/index.ts')

let folder: string
let cwd: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'codexbox-setup-'))
  cwd = join(folder, 'work')
  mkdirSync(cwd)
})

afterEach(() => rmSync(folder, { recursive: true, force: true }))

async function setup(
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
  stdout: 'pipe' | number = 'pipe',
) {
  const child = spawn(process.execPath, [setupScript, ...args], {
    cwd,
    env: {
      PATH: process.env.PATH,
      HOME: cwd,
      CODEX_DATA_DIR: join(cwd, 'data'),
      ...NO_DOCKER,
      ...env,
    },
    stdio: ['ignore', stdout, 'pipe'],
  })
  const [[code], printed, stderr] = await Promise.all([
    once(child, 'close'),
    child.stdout ? text(child.stdout) : '',
    text(child.stderr as Readable),
  ])
  return { code, stdout: printed, stderr }
}

test.each([
  [[]],
  [['environment']],
  [['--step']],
  [['--step', 'nonsense']],
  [['--step', 'constructor']],
])('%j is wrong use: the steps are listed, and no program is misled by a block', async (args) => {
  const { code, stdout, stderr } = await setup(args)

  expect({ code, stdout }).toEqual({ code: 4, stdout: '' })
  expect(stderr).toMatch(/--step <name>/)
  for (const step of ['environment', 'codex-auth', 'image', 'verify'])
    expect(stderr).toContain(step)
})

test.skipIf(process.platform !== 'linux')(
  'a block that cannot be written is one sentence, and a failed step',
  async () => {
    const full = openSync('/dev/full', 'w')
    const { code, stderr } = await setup(['--step', 'environment'], {}, full)
    closeSync(full)

    expect(code).toBe(1)
    expect(stderr).toMatch(/^The output cannot be written: No space left on device\./m)
    expect(stderr).not.toMatch(/^ +at |node:/m)
  },
)

test('a failed step ends with its code also where the reader of its block has left', async () => {
  const script = 'set -o pipefail; "$@" | true'
  const args = ['-c', script, 'bash', process.execPath, setupScript, '--step', 'environment', 'odd']
  const child = spawn('bash', args, {
    cwd,
    env: { PATH: process.env.PATH, HOME: cwd, CODEX_DATA_DIR: join(cwd, 'data'), ...NO_DOCKER },
    stdio: 'ignore',
  })

  expect((await once(child, 'close'))[0]).toBe(4)
})

test('an unknown step is named', async () => {
  expect((await setup(['--step', 'nonsense'])).stderr).toMatch(
    /^There is no step nonsense\.\nUse: /,
  )
})

test('help is no wrong use', async () => {
  const { code, stdout, stderr } = await setup(['--help'])

  expect({ code, stdout }).toEqual({ code: 0, stdout: '' })
  expect(stderr).toMatch(/^Use: /)
})

test('a step prints its block on stdout, a line for the person on stderr, and changes nothing', async () => {
  const { code, stdout, stderr } = await setup(['--step', 'environment'])

  expect(code).toBe(0)
  expect(stdout).toMatch(/^=== NANOCLAW SETUP: ENVIRONMENT ===\n([A-Z_]+: .*\n)+=== END ===\n$/)
  expect(stdout).toContain('\nSTATUS: success\n')
  expect(stdout).toContain(`\nDATA_DIR: ${join(cwd, 'data')}\n`)
  expect(stderr).toContain('/nonexistent/docker.sock')
  expect(readdirSync(cwd)).toEqual([])
})

test.each(['environment', 'codex-auth', 'image', 'verify'])(
  '%s refuses an argument that it does not know, as wrong use, before it does anything',
  async (step) => {
    const { code, stdout, stderr } = await setup(['--step', step, '--nonsense'])

    expect(code).toBe(4)
    expect(stdout).toMatch(/\nSTATUS: failed\nERROR: .*--nonsense.*\n=== END/)
    expect(stderr).toMatch(/^.*--nonsense.*\n.+\n$/)
    expect(readdirSync(cwd)).toEqual([])
  },
)

test('a step that cannot begin says so in its block, in one sentence', async () => {
  const { code, stdout, stderr } = await setup(['--step', 'environment'], { AGENT_ENGINE: 'x' })

  expect(code).toBe(1)
  expect(stdout).toMatch(
    /\nSTATUS: failed\nERROR: AGENT_ENGINE \(from the environment\): .*\n=== END/,
  )
  expect(stderr).not.toMatch(/\n\s+at /)
})
