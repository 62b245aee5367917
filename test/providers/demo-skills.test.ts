import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { type DemoBackend, startDemoBackend } from '../../host/outer/demo/demo-backend.ts'
import { DEMO_LINE } from '../../host/outer/demo/repertoire.ts'
import { layOutSampleProject, sampleBug } from '../../host/outer/demo/sample-project.ts'
import { readCommandResult } from '../../host/outer/demo/tool-outputs.ts'
import type { Item } from '../../shared/items.ts'
import { aBody, bash, itemsOf, parseStream, post, runPrompt, user } from './demo-client.ts'

const token = 'a-token'
let backend: DemoBackend
let workspace: string

beforeAll(async () => {
  backend = await startDemoBackend({ token, paceMs: 0 })
})
afterAll(() => backend.close())
beforeEach(async () => {
  workspace = await mkdtemp(join(tmpdir(), 'demo-skills-'))
})
afterEach(() => rm(workspace, { recursive: true, force: true }))

const ask = (prompt: string, history: Item[] = [], tools?: string[]) =>
  runPrompt({ url: backend.url, token, workspace, prompt, history, ...(tools ? { tools } : {}) })

test.each([
  'hello',
  'look around',
  'write and run a program',
  'fix the failing test',
  'run: false',
  'what did you do?',
  'stop',
  'again',
  'Tell me a joke',
  '   ',
])('a run for "%s" ends by saying that no model was asked', async (prompt) => {
  const { answer } = await ask(prompt)

  expect(answer.endsWith(DEMO_LINE)).toBe(true)
})

test.each(['Look around the workspace.', 'what is in here?', 'Please summarise this project'])(
  '"%s" tells what really is there',
  async (prompt) => {
    await layOutSampleProject(workspace)
    await writeFile(join(workspace, 'notes.txt'), 'x'.repeat(4321))

    const { answer, calls, callsPerTurn } = await ask(prompt)

    expect(calls.map(({ name }) => name)).toEqual(['list_files', 'bash', 'read_file'])
    expect(callsPerTurn).toEqual([2, 1, 0])
    expect(answer).toContain('5 files and 0 folders')
    expect(answer).toContain('notes.txt (4321 bytes)')
    expect(answer).toContain('# Lemonade stand')
    expect(answer).toContain(process.version)
  },
)

test('a file that the prompt names is the one that is read', async () => {
  await layOutSampleProject(workspace)

  const { calls, answer } = await ask('read stand.mjs')

  expect(calls.at(-1)).toMatchObject({ name: 'read_file', arguments: { path: 'stand.mjs' } })
  expect(answer).toContain("import { change, total } from './till.mjs'")
})

test('an empty workspace is called empty', async () => {
  const { answer, calls } = await ask('look around')

  expect(answer).toContain('The workspace is empty.')
  expect(calls.map(({ name }) => name)).not.toContain('read_file')
})

test.each([
  ['Write and run a program that prints the first 7 primes', '2 3 5 7 11 13 17'],
  ['write a script that prints the first ten primes', '2 3 5 7 11 13 17 19 23 29'],
  ['with Node 22, print 3 prime numbers', '2 3 5'],
  ['print the primes below 20', '2 3 5 7 11 13 17 19'],
  ['print the primes up to 23', '2 3 5 7 11 13 17 19 23'],
  ['the first 8 Fibonacci numbers, please', '0 1 1 2 3 5 8 13'],
  ['fibonacci up to 21', '0 1 1 2 3 5 8 13 21'],
  ['write a program that sorts names', '2 3 5 7 11 13 17 19 23 29'],
])('"%s" writes a program that really prints it', async (prompt, printed) => {
  const { answer, calls } = await ask(prompt)

  expect(calls.map(({ name }) => name)).toEqual(['write_file', 'bash'])
  const program = String(calls[0]?.arguments.path)
  expect(await bash(`node ${program}`, workspace)).toMatch(new RegExp(`output:\n${printed}\n$`))
  expect(answer).toContain(`    ${printed}\n`)
})

test('a program that fails is reported as failed, with what it printed', async () => {
  const { history } = await ask('write a program that prints 3 primes')
  const output = await bash('echo out of primes >&2; exit 1', workspace)

  // The same conversation up to the run of the program, which went differently.
  const input = history
    .slice(0, -1)
    .map((item, index, { length }) => (index === length - 1 ? { ...item, output } : item))
  const response = await post(backend.url, token, aBody({ input }))

  const answer = JSON.stringify(itemsOf(parseStream(await response.text())))
  expect(answer).toContain('failed (exit code: 1)')
  expect(answer).toContain('out of primes')
})

test('a file that cannot be written ends the run with the reason', async () => {
  await mkdir(join(workspace, 'codexbox-primes.mjs'))

  const { answer, calls } = await ask('write a program that prints primes')

  expect(calls.map(({ name }) => name)).toEqual(['write_file'])
  expect(answer).toContain('could not be written')
  expect(answer).toContain('EISDIR')
})

test.each(['Find and fix the failing test', 'the tests are broken, repair them', 'fix the bug'])(
  '"%s" mends the sample project',
  async (prompt) => {
    await layOutSampleProject(workspace)
    const before = await bash('node --test', workspace)

    const { answer, calls, callsPerTurn } = await ask(prompt)

    const after = await bash('node --test', workspace)
    expect(before).toMatch(/^exit code: 1\n/)
    expect(after).toMatch(/^exit code: 0\n/)
    expect(calls.map(({ name }) => name)).toEqual([
      'bash',
      'list_files',
      'read_file',
      'read_file',
      'write_file',
      'bash',
    ])
    expect(callsPerTurn).toEqual([1, 1, 2, 1, 1, 0])
    expect(answer).toContain('All 5 tests pass now.')
  },
)

test('the failing test is named while the work goes on', async () => {
  await layOutSampleProject(workspace)

  const { history } = await ask('fix the failing test')

  expect(JSON.stringify(history)).toContain(
    '1 of 5 tests fail: \\"as few coins as possible are handed back\\"',
  )
})

test('only the known bug is touched; the rest of the file stays as the user has it', async () => {
  await layOutSampleProject(workspace)
  const till = join(workspace, 'till.mjs')
  const mine = `${await readFile(till, 'utf8')}\n// My own: größer, 日本\n`
  await writeFile(till, mine)

  await ask('fix the failing test')

  expect(await readFile(till, 'utf8')).toBe(mine.replace(sampleBug.wrong, sampleBug.right))
})

test('a bug it does not know is left alone, and said so', async () => {
  await layOutSampleProject(workspace)
  const till = join(workspace, 'till.mjs')
  const other = (await readFile(till, 'utf8')).replace(sampleBug.wrong, 'COINS')
  await writeFile(till, other)

  const { answer, calls } = await ask('fix the failing test')

  expect(answer).toContain('I do not recognise the bug')
  expect(answer).toContain('till.mjs')
  expect(calls.map(({ name }) => name)).not.toContain('write_file')
  expect(await readFile(till, 'utf8')).toBe(other)
})

test('a file of which only a part was shown is not written back', async () => {
  await layOutSampleProject(workspace)
  const { history } = await ask('fix the failing test')
  const isSource = (item: Item) => String(item.output).includes(sampleBug.wrong)

  // The same conversation up to the reading of the files, of which one came shortened.
  const input = history
    .slice(0, history.findIndex(isSource) + 1)
    .map((item) => (isSource(item) ? { ...item, output: String(item.output).slice(40) } : item))
  const response = await post(backend.url, token, aBody({ input }))

  const items = itemsOf(parseStream(await response.text()))
  expect(items.map(({ type }) => type)).toEqual(['message'])
  expect(JSON.stringify(items)).toContain('only a part of it was shown')
})

test('a second bug is not claimed to be fixed', async () => {
  await layOutSampleProject(workspace)
  const till = join(workspace, 'till.mjs')
  await writeFile(till, (await readFile(till, 'utf8')).replace('price * count', 'price'))

  const { answer } = await ask('fix the failing test')

  expect(answer).toContain('it is not fixed (exit code: 1)')
  expect(answer).toContain('"an order costs the sum of its lines"')
})

test('tests that pass at once are reported as passing', async () => {
  await layOutSampleProject(workspace)
  const { history } = await ask('fix the failing test')

  const { answer, calls } = await ask('fix the failing test', history)

  expect(answer).toContain('all 5 tests pass')
  expect(calls).toHaveLength(1)
})

test('a workspace without tests is not called passing', async () => {
  expect((await ask('run the tests')).answer).toContain('found no tests')
})

test.each([
  ['run: echo $((6 * 7)) >&2; exit 3', 'ended (exit code: 3)', '    42'],
  ['Please run `printf "a\\nb"` for me', 'exit code: 0', '    a\n    b'],
  ['run: true', 'exit code: 0', 'It printed nothing.'],
  ['run:\n```bash\necho one\necho two\n```', 'exit code: 0', '    one\n    two'],
  ["run: printf 'exit code: 9\\noutput:\\nforged'", 'exit code: 0', '    exit code: 9\n'],
])('"%s" runs the command and shows what it printed', async (prompt, outcome, shown) => {
  const { answer, calls } = await ask(prompt)

  expect(calls).toHaveLength(1)
  expect(answer).toContain(outcome)
  expect(answer).toContain(shown)
})

test('a command that was killed cannot print itself an exit code', () => {
  const killed = 'killed: still running after 5 s\nwall time: 5 s\noutput:\nexit code: 0\n'

  expect(readCommandResult(killed)).toEqual({
    exitCode: undefined,
    outcome: 'killed: still running after 5 s',
    output: 'exit code: 0',
  })
})

test('a long output is shown in part', async () => {
  const { answer } = await ask('run: seq 1000')

  expect(answer).toContain('    40\n')
  expect(answer).toContain('and 960 more lines')
})

test.each(['hello', 'who are you?', 'What can you do?', 'how do I sign in?', 'What is codexbox?'])(
  '"%s" is answered with what this is and how to sign in',
  async (prompt) => {
    const { answer, calls } = await ask(prompt)

    expect(calls).toEqual([])
    expect(answer).toContain('fixed script')
    expect(answer).toContain('--step codex-auth')
  },
)

test('a prompt it does not know is answered with what can be asked', async () => {
  const { answer, calls } = await ask('Compose a sonnet about November')

  expect(calls).toEqual([])
  expect(answer).toContain('I do not understand that')
  expect(answer.match(/^- "/gm)).toHaveLength(4)
})

test('"again" repeats what was asked before, with another number if one is given', async () => {
  const { history } = await ask('write a program that prints the first ten primes')

  const again = await ask('again', history)
  const withNumber = await ask('again with 3', again.history)

  expect(again.answer).toContain('the first 10 primes')
  expect(again.calls).toHaveLength(2)
  expect(withNumber.answer).toContain('    2 3 5\n')
})

test('"what did you do?" tells the calls of the conversation and their outcome', async () => {
  const first = await ask('run: exit 4')
  const second = await ask('look around', first.history)

  const { answer } = await ask('What did you do?', second.history)

  expect(answer).toContain('You asked: run: exit 4\n  1. bash exit 4: exit code: 4')
  expect(answer).toContain('You asked: look around\n  1. list_files .:')
})

const midRun = async (prompt: string, said: string) => {
  const [reasoning, call] = itemsOf(
    parseStream(await (await post(backend.url, token, aBody({ input: [user(prompt)] }))).text()),
  ) as [Item, Item]
  const output = await bash('echo done', workspace)
  const history = [
    user(prompt),
    reasoning,
    call,
    { type: 'function_call_output', call_id: call.call_id, output },
  ]
  return ask(said, history)
}

test('a message in the middle of the work does not end the work', async () => {
  const { answer, calls } = await midRun('run: echo done', 'a bit faster, maybe?')

  expect(calls).toEqual([])
  expect(answer).toContain('a bit faster, maybe?')
  expect(answer).toContain('    done')
})

test('"stop" in the middle of the work stops it', async () => {
  const { answer, calls } = await midRun('run: echo done', 'Stop!')

  expect(calls).toEqual([])
  expect(answer).toContain('Stopped. Until then:')
  expect(answer).toContain('bash echo done: exit code: 0')
})

test('a new request in the middle of the work takes its place', async () => {
  const { answer, calls } = await midRun('run: echo done', 'run: echo other')

  expect(calls.map(({ arguments: args }) => args.command)).toEqual(['echo other'])
  expect(answer).toContain('    other')
})

test.each([
  ['look around', []],
  ['look around', ['bash']],
  ['look around', ['list_files']],
  ['fix the failing test', []],
  ['fix the failing test', ['bash']],
  ['fix the failing test', ['bash', 'read_file']],
  ['write a program', ['bash']],
  ['write a program', ['write_file']],
  ['run: true', ['read_file']],
])('"%s" with only %j on offer does without the others', async (prompt, tools) => {
  await layOutSampleProject(workspace)

  const { calls, answer } = await ask(prompt, [], tools)

  expect(calls.filter(({ name }) => !tools.includes(name))).toEqual([])
  expect(answer.length).toBeGreaterThan(DEMO_LINE.length + 20)
})

test('the encrypted reasoning and the ids of earlier turns may be sent back', async () => {
  const { history } = await ask('run: true')

  expect(history.map(({ type }) => type)).toEqual([
    'message',
    'reasoning',
    'function_call',
    'function_call_output',
    'message',
  ])
  expect(await ask('again', history)).toMatchObject({ callsPerTurn: [1, 0] })
})
