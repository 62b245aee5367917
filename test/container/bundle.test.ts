import { execFileSync } from 'node:child_process'
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
} from 'node:fs'
import { isBuiltin } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { agentFile } from '../../host/package-root.ts'
import { startAgent } from '../fakes/agent-process.ts'
import { callsAnswer, startModelServer, textAnswer } from '../fakes/model-server.ts'
import { aRunRequest } from '../fakes/run-request.ts'

interface Metafile {
  inputs: Record<string, unknown>
  outputs: Record<string, { entryPoint: string; imports: { path: string; external?: boolean }[] }>
}

const { inputs, outputs } = JSON.parse(
  readFileSync(join(dirname(agentFile), 'agent.meta.json'), 'utf8'),
) as Metafile
const [output] = Object.values(outputs)

test('the bundle is one file made from our own files alone', () => {
  expect(Object.keys(outputs)).toEqual(['dist/container/agent.cjs'])
  expect(output?.entryPoint).toBe('container/main.ts')
  expect(Object.keys(inputs).filter((path) => !/^(container|shared)\//.test(path))).toEqual([])
})

test.skipIf(process.platform === 'win32')(
  'every user of a container can read it, whatever the umask of who has built it',
  () => {
    const build = `import('./scripts/build.mjs').then((build) => build.buildAgent())`

    execFileSync('sh', ['-c', 'umask 077; exec "$0" -e "$1"', process.execPath, build])

    expect(statSync(agentFile).mode & 0o777).toBe(0o644)
  },
)

test('the schemas, and zod with them, stay on the host', () => {
  expect(Object.keys(inputs)).not.toContain('shared/protocol.ts')
  expect(Object.keys(inputs)).not.toContain('shared/items.ts')
  expect(readFileSync(agentFile, 'utf8')).not.toMatch(/zod/i)
})

test('what the bundle loads from outside is these parts of Node, and the slow ones of them when needed', () => {
  const imports = [...new Set(output?.imports.map(({ path }) => path))].sort()

  expect(imports).toEqual([
    'node:buffer',
    'node:child_process',
    'node:crypto',
    'node:events',
    'node:fs',
    'node:http',
    'node:module',
    'node:net',
    'node:os',
    'node:path',
    'node:stream',
    'node:timers/promises',
    'node:vm',
  ])
  expect(imports.filter((path) => !isBuiltin(path))).toEqual([])
  // The text itself, in case the list above is of another build.
  const loadedBy = (call: RegExp) =>
    [...new Set([...text.matchAll(call)].map(([, argument]) => argument))].sort()
  const text = readFileSync(agentFile, 'utf8')
  expect(loadedBy(/\b(?:require|import)\(([^)]*)\)/g)).toEqual(imports.map((path) => `"${path}"`))
  expect(loadedBy(/\bloadModule\(([^)]*)\)/g)).toEqual([
    '"node:child_process"',
    '"node:crypto"',
    '"node:https"',
    '"node:zlib"',
  ])
})

test('the bundle runs alone, from a folder with nothing else in it', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'codexbox-bundle-'))
  const file = join(folder, 'alone', 'agent.cjs')
  mkdirSync(dirname(file))
  copyFileSync(agentFile, file)
  const server = await startModelServer([
    callsAnswer(['list_files', {}], ['bash', { command: 'echo from bash' }]),
    textAnswer('Read.'),
  ])
  const request = aRunRequest({ workspace: dirname(file), endpoint: server.endpoint })
  const agent = startAgent(request, { file, env: { HOME: folder, NODE_PATH: '' } })
  t.onTestFinished(async () => {
    await agent.stop()
    await server.close()
    rmSync(folder, { recursive: true, force: true })
  })

  expect(await agent.finished()).toMatchObject({ status: 'done', turns: 2, toolCalls: 2 })
  const outputs = server.requests[1]?.body.input.slice(-2).map((item) => item.output)
  expect(outputs).toEqual([
    expect.stringMatching(/^agent\.cjs {2}\d+ bytes$/),
    expect.stringContaining('from bash'),
  ])
  agent.endInput()
  expect(await agent.exit).toEqual({ code: 0, signal: null })
  expect(agent.stderr).toBe('')
  expect(readdirSync(folder)).toEqual(['alone'])
})
