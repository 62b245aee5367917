import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, describe, expect, test } from 'vitest'
import * as library from '../host/index.ts'
import { readSession } from '../host/index.ts'
import { agentFile } from '../host/package-root.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const example = join(root, 'docs', 'examples', 'embed.ts')
const folder = mkdtempSync(join(tmpdir(), 'codexbox-library-'))

afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe('the example for embedding', () => {
  test('is in the README, word for word, and has at most ten lines', () => {
    const text = readFileSync(example, 'utf8')

    expect(readFileSync(join(root, 'README.md'), 'utf8')).toContain(`\`\`\`ts\n${text}\`\`\``)
    expect(text.split('\n').filter((line) => line.trim()).length).toBeLessThanOrEqual(10)
  })

  test('runs: two runs in one session, the answer of each as a whole', async () => {
    const workspace = join(folder, 'work')
    mkdirSync(workspace)
    writeFileSync(join(workspace, 'lemon.txt'), 'sour\n')
    // Takes the place of an installed package.
    const paths = { codexbox: [join(root, 'host', 'index.ts')] }
    const tsconfig = join(folder, 'tsconfig.json')
    writeFileSync(tsconfig, JSON.stringify({ compilerOptions: { paths } }))

    const { stdout } = await promisify(execFile)(
      process.execPath,
      ['--import', import.meta.resolve('tsx'), example],
      {
        cwd: workspace,
        env: {
          PATH: process.env.PATH,
          TSX_TSCONFIG_PATH: tsconfig,
          AGENT_ENGINE: 'process',
          AGENT_PROVIDER: 'demo',
          CODEX_DATA_DIR: join(folder, 'data'),
        },
      },
    )

    expect(stdout).toContain('lemon.txt')
    expect(stdout.match(/This was a scripted demo/g)).toHaveLength(2)
    const [session = ''] = readdirSync(join(folder, 'data', 'sessions'))
    const lines = readSession(join(folder, 'data'), session.replace('.jsonl', ''))
    expect(lines.filter(({ type }) => type === 'finished')).toMatchObject([
      { status: 'done' },
      { status: 'done' },
    ])
  })
})

describe('the library', () => {
  test('offers by default the provider that NanoClaw-like hosts load', () => {
    const { default: plugin } = library

    expect(plugin).toMatchObject({
      name: 'codex',
      getSecrets: expect.any(Function),
      isAuthenticated: expect.any(Function),
      setup: expect.any(Function),
      containerProvider: agentFile,
    })
  })

  test('has these names, and none by accident', () => {
    expect(Object.keys(library).sort()).toEqual([
      'CodexboxError',
      'PROTOCOL_VERSION',
      'RunEvent',
      'codexProvider',
      'default',
      'demoProvider',
      'listSessions',
      'openConversation',
      'openaiProvider',
      'readConfig',
      'readSession',
      'removeSession',
    ])
  })
})
