import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test, vi } from 'vitest'
import { type Cleanup, startWorker, unprivileged } from './worker-process.ts'

const patch = (...lines: string[]) => ['*** Begin Patch', ...lines, '*** End Patch'].join('\n')

/** A worker, and what is in its workspace. */
function workerWith(t: Cleanup, files: Record<string, string | Buffer>) {
  const worker = startWorker(t)
  const at = (path: string) => join(worker.workspace, path)
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(join(at(path), '..'), { recursive: true })
    writeFileSync(at(path), content)
  }
  return {
    ...worker,
    at,
    text: (path: string) => readFileSync(at(path), 'utf8'),
    list: () => readdirSync(worker.workspace, { recursive: true }).map(String).sort(),
    apply: (...lines: string[]) => worker.call('apply_patch', patch(...lines)),
  }
}

describe.concurrent('a patch', () => {
  test('adds, changes, moves and deletes files, and says so as models know it', async (t) => {
    const { apply, list, text } = workerWith(t, { 'a.txt': 'one\ntwo\n', old: 'x\n', gone: '' })
    const result = await apply(
      ...['*** Delete File: gone', '*** Update File: a.txt', '@@', ' one', '-two', '+2'],
      ...['*** Add File: deep/er/new.txt', '+new', '*** Update File: old', '*** Move to: to/it'],
      ...['@@', '-x', '+y'],
    )

    const summary = ['A deep/er/new.txt', 'M a.txt', 'M to/it', 'D gone']
    expect(result).toEqual({
      ok: true,
      output: expect.stringMatching(
        /^Exit code: 0\nWall time: [0-9.]+ seconds\nOutput:\nSuccess\. Updated the following files:\n/,
      ),
      summary: summary.join(', '),
    })
    expect(result.output).toMatch(new RegExp(`files:\n${summary.join('\n')}\n$`))
    expect(list()).toEqual(['a.txt', 'deep', 'deep/er', 'deep/er/new.txt', 'to', 'to/it'])
    expect(text('a.txt')).toBe('one\n2\n')
    expect(text('deep/er/new.txt')).toBe('new\n')
    expect(text('to/it')).toBe('y\n')
  })

  test('may change a file again that it has changed, made, moved or deleted before', async (t) => {
    const { apply, list, text } = workerWith(t, { a: '1\n', b: '1\n' })
    const result = await apply(
      ...['*** Update File: a', '-1', '+2', '*** Update File: a', '-2', '+3'],
      ...['*** Add File: new', '+1', '*** Update File: new', '-1', '+2'],
      ...['*** Update File: b', '*** Move to: c', '*** Update File: c', '-1', '+2'],
      ...['*** Add File: brief', '+1', '*** Delete File: brief'],
      ...['*** Delete File: a', '*** Add File: a', '+4'],
    )

    expect(result.output).toContain('Success')
    expect(list()).toEqual(['a', 'c', 'new'])
    expect([text('a'), text('c'), text('new')]).toEqual(['4\n', '2\n', '2\n'])
  })

  test('replaces what is where it adds or moves to', async (t) => {
    const { apply, list, text } = workerWith(t, { a: 'a\n', b: 'b\n', c: Buffer.from([0, 1]) })
    await apply('*** Update File: a', '*** Move to: b', '*** Add File: c', '+c')

    expect(list()).toEqual(['b', 'c'])
    expect([text('b'), text('c')]).toEqual(['a\n', 'c\n'])
  })

  test('keeps modes', async (t) => {
    const { apply, at } = workerWith(t, { script: '1\n', moved: '1\n' })
    for (const name of ['script', 'moved']) chmodSync(at(name), 0o776)
    await apply('*** Update File: script', '-1', '+2', '*** Update File: moved', '*** Move to: to')

    for (const name of ['script', 'to']) expect(lstatSync(at(name)).mode & 0o777).toBe(0o776)
  })

  test('goes through a link when it changes, and takes the link itself away', async (t) => {
    const { apply, at, list, text } = workerWith(t, { a: '1\n', b: '1\n', 'folder/c': '1\n' })
    for (const [target, link] of [
      ['a', 'to-a'],
      ['b', 'to-b'],
      ['folder', 'there'],
    ] as const) {
      symlinkSync(target, at(link))
    }
    await apply(
      ...['*** Update File: to-a', '-1', '+2', '*** Delete File: to-b'],
      ...['*** Update File: there/c', '-1', '+2'],
    )

    expect(readlinkSync(at('to-a'))).toBe('a')
    expect([text('a'), text('b'), text('folder/c')]).toEqual(['2\n', '1\n', '2\n'])
    expect(list()).not.toContain('to-b')
  })

  test('may put a file where it has taken a link away', async (t) => {
    const { apply, at, text } = workerWith(t, { a: '1\n' })
    symlinkSync('a', at('link'))
    await apply('*** Delete File: link', '*** Add File: link', '+2')

    expect(lstatSync(at('link')).isSymbolicLink()).toBe(false)
    expect([text('a'), text('link')]).toEqual(['1\n', '2\n'])
  })

  test('may name files of the workspace by their whole path', async (t) => {
    const { apply, at, text } = workerWith(t, { a: '1\n' })

    expect((await apply(`*** Update File: ${at('a')}`, '-1', '+2')).ok).toBe(true)
    expect(text('a')).toBe('2\n')
  })

  test.for([
    ['as a text', (text: string) => ['apply_patch', text]],
    ['as a function', (text: string) => ['apply_patch', { input: text }]],
    ['as a function of other models', (text: string) => ['apply_patch', { patch: text }]],
    [
      'as a command',
      (text: string) => ['bash', { command: `apply_patch <<'EOF'\n${text}\nEOF\n` }],
    ],
    [
      'as a command, bare',
      (text: string) => ['bash', { command: `apply_patch << EOF\n${text}\nEOF` }],
    ],
    [
      'as a command behind a cd',
      (text: string) => [
        'bash',
        { command: `cd sub && apply_patch <<'EOF'\n${text.replace('File: ', 'File: ../')}\nEOF` },
      ],
    ],
    ['as a here-document', (text: string) => ['apply_patch', `<<'EOF'\n${text}\nEOF\n`]],
  ] as const)('may be given %s', async ([, form], t) => {
    const { call, text } = workerWith(t, { a: '$x\n', 'sub/b': '' })
    const [name, input] = form(patch('*** Update File: a', '-$x', '+$y `z`')) as [string, unknown]

    expect((await call(name, input)).output).toMatch(/^Exit code: 0\n.*\n.*\nSuccess/)
    expect(text('a')).toBe('$y `z`\n')
  })

  test.for(['sub', './sub/', '"my sub"', "'it s'", 'sub/../sub'])(
    'behind `cd %s` changes files below that folder',
    async (folder, t) => {
      const { call, text, list } = workerWith(t, { 'sub/x': '', 'my sub/x': '', 'it s/x': '' })
      const command = `cd ${folder} && apply_patch <<'EOF'\n${patch('*** Add File: new', '+1')}\nEOF`
      const path = join(folder.replaceAll(/['"]/g, ''), 'new')

      expect(await call('bash', { command })).toMatchObject({ ok: true, summary: 'A new' })
      expect(text(path)).toBe('1\n')
      expect(list().filter((name) => name.endsWith('new'))).toEqual([path])
    },
  )

  test.for([
    ['a folder that is not there', 'cd none', 'No such file'],
    ['a folder outside', 'cd .. ', 'outside the workspace'],
    ['a folder that the shell works out', 'cd $PWD/sub', 'command not found'],
  ] as const)('behind a cd to %s changes nothing', async ([, cd, message], t) => {
    const { call, list } = workerWith(t, { 'sub/x': '' })
    const command = `${cd} && apply_patch <<'EOF'\n${patch('*** Add File: new', '+1')}\nEOF`

    const result = await call('bash', { command })

    expect(result).toMatchObject({ ok: false, output: expect.stringContaining(message) })
    expect(list()).toEqual(['sub', 'sub/x'])
  })

  test('as a command of its own is not run, and what to call is said', async (t) => {
    const { call, list } = workerWith(t, {})

    const result = await call('bash', { command: patch('*** Add File: new', '+1') })

    expect(result).toMatchObject({ ok: false, output: expect.stringContaining('call apply_patch') })
    expect(list()).toEqual([])
  })

  test('waits for another one, which may be about the same file', async (t) => {
    const numbers = Array.from({ length: 20 }, (_, n) => n)
    const { apply, text } = workerWith(t, { a: numbers.map((n) => `${n};\n`).join('') })
    const results = await Promise.all(
      numbers.map((n) => apply('*** Update File: a', `-${n};`, `+${n}!`)),
    )

    expect(results.every(({ ok }) => ok)).toBe(true)
    expect(text('a')).toBe(numbers.map((n) => `${n}!\n`).join(''))
  })
})

describe.concurrent('a patch that cannot be applied', () => {
  const begun = [
    '*** Add File: new/er',
    '+x',
    '*** Update File: a',
    '-1',
    '+2',
    '*** Delete File: b',
  ]

  test.for([
    [
      'lines that are not there',
      ['*** Update File: c', '-nope', '-never'],
      /Failed to find expected lines in \/.*\/c:\nnope\nnever$/,
    ],
    ['a file that is not there', ['*** Update File: d', '-x'], /there is no such file/],
    [
      'a file to delete that is not there',
      ['*** Delete File: d'],
      /Failed to delete .*\/d: there is/,
    ],
    ['a file that it has deleted', ['*** Update File: b', '-1'], /there is no such file/],
    ['a folder', ['*** Update File: folder', '-x'], /folder is a folder/],
    ['a folder to delete', ['*** Delete File: folder'], /folder is a folder/],
    ['a folder to replace', ['*** Add File: folder', '+x'], /not a regular file/],
    ['a file as a folder', ['*** Add File: c/x', '+x'], /ENOTDIR|not a directory/],
    ['a way out', ['*** Add File: ../out', '+x'], /outside the workspace/],
    ['another way out', ['*** Update File: c', '*** Move to: folder/../../out'], /outside/],
    ['a path from the root', ['*** Update File: /etc/hostname', '-x'], /outside the workspace/],
    ['a binary file', ['*** Update File: binary', '-x'], /not a text file \(3 bytes\)/],
    ['a file in another encoding', ['*** Update File: latin', '-x'], /not UTF-8/],
    ['a huge file', ['*** Update File: huge', '-x'], /huge has 1099511627776 bytes/],
    ['a named pipe', ['*** Update File: pipe', '-x'], /not a regular file/],
    ['a device', ['*** Update File: zero', '-x'], /not a regular file/],
    ['a link to itself', ['*** Update File: loop', '-x'], /ELOOP/],
    ['a name with NUL', ['*** Add File: x\0y', '+x'], /null bytes/],
    ['a name that is too long', [`*** Add File: ${'x'.repeat(300)}`, '+x'], /ENAMETOOLONG/],
    ['what is no patch', ['? x'], /^apply_patch verification failed: Line 8 of the patch/],
  ] as const)('changes nothing: %s', async ([, lines, message], t) => {
    const { apply, at, list, text } = workerWith(t, {
      ...{ a: '1\n', b: '1\n', c: '1\n', 'folder/x': '' },
      ...{ binary: Buffer.from([0x78, 0, 0x0a]), latin: Buffer.from([0xe4, 0x0a]), huge: '' },
    })
    truncateSync(at('huge'), 2 ** 40)
    symlinkSync('loop', at('loop'))
    symlinkSync('/dev/zero', at('zero'))
    expect(spawnSync('mkfifo', [at('pipe')]).status).toBe(0)
    const before = list()

    const result = await apply(...begun, ...lines)

    expect(result.ok).toBe(false)
    expect(result.output).toMatch(/^apply_patch (verification )?failed: /)
    expect(result.output).toMatch(message)
    expect(result.summary).not.toContain('\n')
    expect(list()).toEqual(before)
    expect([text('a'), text('b'), text('c')]).toEqual(['1\n', '1\n', '1\n'])
  })

  test('puts back what it had replaced when a later file cannot be', async (t) => {
    const { apply, list, text, at } = workerWith(t, { a: '1\n', b: '1\n' })
    const before = lstatSync(at('b')).ino
    // A folder has come to be where the file should go: it shows at the last moment only.
    const result = await apply(...begun, '*** Add File: x', '+1', '*** Add File: x/y', '+1')

    expect(result.output).toMatch(/^apply_patch failed: .*\nNothing was changed\.$/)
    expect(list()).toEqual(['a', 'b'])
    expect([text('a'), text('b')]).toEqual(['1\n', '1\n'])
    expect(lstatSync(at('b')).ino).toBe(before)
  })

  test('leaves everything as it was when the disk is full', async (t) => {
    // A limit on the size of a file is met like the end of a disk: after some of it is written.
    const worker = startWorker(t, { wrapped: 'ulimit -f 64; exec "$@"' })
    writeFileSync(join(worker.workspace, 'a'), '1\n')
    const lines = ['*** Update File: a', '-1', '+2', '*** Add File: b', `+${'x'.repeat(100_000)}`]
    const result = await worker.call('apply_patch', patch(...lines))

    expect(result.output).toMatch(/^apply_patch failed: EFBIG.*\nNothing was changed\.$/)
    expect(readdirSync(worker.workspace)).toEqual(['a'])
    expect(readFileSync(join(worker.workspace, 'a'), 'utf8')).toBe('1\n')
  })

  test('leaves everything as it was where it may not write', async (t) => {
    const worker = startWorker(t, { user: unprivileged })
    const folder = join(worker.workspace, 'closed')
    mkdirSync(folder)
    writeFileSync(join(folder, 'b'), '1\n')
    writeFileSync(join(worker.workspace, 'a'), '1\n')
    chmodSync(folder, 0o555)
    t.onTestFinished(() => chmodSync(folder, 0o755))
    const lines = ['*** Update File: a', '-1', '+2', '*** Update File: closed/b', '-1', '+2']
    const result = await worker.call('apply_patch', patch(...lines))

    expect(result.output).toMatch(/^apply_patch failed: EACCES.*\nNothing was changed\.$/)
    expect(readFileSync(join(worker.workspace, 'a'), 'utf8')).toBe('1\n')
    expect(readdirSync(worker.workspace).sort()).toEqual(['a', 'closed'])
  })

  test.for([[undefined], [7], [[]], [{}], [{ input: 7 }]] as const)(
    'is refused when its text is missing: %j',
    async ([input], t) => {
      const result = await startWorker(t).call('apply_patch', input)

      expect(result).toMatchObject({
        ok: false,
        output: expect.stringMatching(/^error: The argument/),
      })
    },
  )

  test('leaves each file old or new when the worker is killed in the middle', async (t) => {
    const names = Array.from({ length: 400 }, (_, n) => `f${n}`)
    const before = `${'x'.repeat(5000)}\nold\n`
    const { call, at, list, stop } = workerWith(
      t,
      Object.fromEntries(names.map((n) => [n, before])),
    )
    const lines = names.flatMap((name) => [`*** Update File: ${name}`, '-old', '+new'])
    const killer = 'until ls -A | grep -q tmp; do :; done; sleep 0.03; kill -9 $PPID'
    const calls = [call('bash', { command: killer }), call('apply_patch', patch(...lines))]
    await Promise.allSettled(calls)
    await stop()

    await vi.waitFor(() => expect(names.every((name) => existsSync(at(name)))).toBe(true))
    expect(list().filter((name) => !name.endsWith('.tmp'))).toEqual([...names].sort())
    for (const name of names) {
      expect([before, before.replace('old', 'new')]).toContain(readFileSync(at(name), 'utf8'))
    }
  })
})
