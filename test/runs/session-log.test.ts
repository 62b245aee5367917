import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import {
  listSessions,
  newSessionName,
  readSession,
  removeSession,
  type SessionLine,
  SessionLog,
} from '../../host/runs/session-log.ts'
import { isFull } from '../full-size.ts'
import { scriptPackage } from '../script-package.ts'

const holderScript = await scriptPackage('test/runs/hold-session.ts')
const fillerScript = await scriptPackage('test/runs/fill-session.ts')

let dataDir: string

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'codexbox-session-'))
})

afterEach(() => rmSync(dataDir, { recursive: true, force: true }))

const fileOf = (name: string) => join(dataDir, 'sessions', `${name}.jsonl`)

function makeFolderWithFileOfSessions(): void {
  mkdirSync(join(dataDir, 'file'))
  writeFileSync(join(dataDir, 'file', 'sessions'), '')
}

const aRun: SessionLine = {
  type: 'run',
  runId: 'run-1',
  at: '2026-01-01T00:00:00.000Z',
  provider: 'codex',
  model: 'gpt-5.5',
  owner: 'codex:ada',
  workspace: '/w',
}
/** With what may not get lost: unknown fields, and characters that other readers split lines at. */
const anItem: SessionLine = {
  type: 'item',
  runId: 'run-1',
  item: { type: 'message', unheard_of: [null], content: [{ text: 'Zoë 🚀 \u2028 \r\n "}' }] },
}
const theEnd: SessionLine = {
  type: 'finished',
  runId: 'run-1',
  status: 'done',
  usage: { inputTokens: 1, cachedInputTokens: 0, outputTokens: 1, reasoningTokens: 0 },
  turns: 1,
  toolCalls: 0,
  durationMs: 5,
}

/** Makes a session with one run in it. Returns its lines. */
async function aSession(name: string): Promise<SessionLine[]> {
  const log = await SessionLog.open(dataDir, name)
  for (const line of [aRun, anItem, theEnd]) log.append(line)
  await log.close()
  return log.lines
}

describe('a session', () => {
  test.skipIf(!isFull)(
    'is read back when it is longer than a string can be',
    async () => {
      const log = await SessionLog.open(dataDir, 'long')
      const item = { type: 'message', text: 'x'.repeat(20_000_000) }
      for (let at = 0; at < 28; at++) log.append({ ...anItem, item })
      await log.close()

      expect(readSession(dataDir, 'long')).toHaveLength(29)
    },
    60_000,
  )

  test('is read back as it was written, and goes on under the same id', async () => {
    const written = await aSession('mine')

    const log = await SessionLog.open(dataDir, 'mine')

    expect(log.lines).toEqual(written)
    expect(log.lines.slice(1)).toEqual([aRun, anItem, theEnd])
    expect(log.lines[0]).toMatchObject({ type: 'session', id: log.id })
    expect(log.repairs).toEqual([])
    log.append(anItem)
    await log.close()
    expect(readSession(dataDir, 'mine')).toEqual([...written, anItem])
  })

  test.each([
    ['a file in the place of the data folder', () => writeFileSync(join(dataDir, 'file'), '')],
    ['a file in the place of its sessions', makeFolderWithFileOfSessions],
  ])('%s is told in one sentence, with what to do', async (_, prepare) => {
    prepare()

    await expect(SessionLog.open(join(dataDir, 'file'), 'mine')).rejects.toMatchObject({
      code: 'config-invalid',
      message: expect.stringMatching(/written in the data folder .*file \(.*set CODEX_DATA_DIR/),
    })
  })

  test.skipIf(process.platform !== 'linux')(
    'a data folder where the file system makes none is told, and not waited for',
    async () => {
      await expect(SessionLog.open('/proc/codexbox/data', 'mine')).rejects.toMatchObject({
        code: 'config-invalid',
        message: expect.stringContaining('/proc/codexbox/data'),
      })
    },
  )

  test('holds a line as soon as it was appended', async () => {
    const log = await SessionLog.open(dataDir, 'mine')

    log.append(anItem)

    expect(readFileSync(fileOf('mine'), 'utf8')).toContain(`${JSON.stringify(anItem)}\n`)
    await log.close()
  })

  test.skipIf(process.platform === 'win32')('is for its user alone', async () => {
    rmSync(dataDir, { recursive: true })

    await aSession('mine')

    const modeOf = (path: string) => (statSync(path).mode & 0o777).toString(8)
    expect(modeOf(dataDir)).toBe('700')
    expect(modeOf(join(dataDir, 'sessions'))).toBe('700')
    expect(modeOf(fileOf('mine'))).toBe('600')
  })

  test.each([
    '',
    '.',
    '..',
    '../codex-tokens',
    'a/b',
    '/etc/passwd',
    'a\\b',
    '.hidden',
    '-rf',
    'a b',
    'a\0',
    'a\n',
    'ä',
    'a'.repeat(65),
  ])('cannot be named %j', async (name) => {
    const refused = { code: 'session-invalid' }

    await expect(SessionLog.open(dataDir, name)).rejects.toMatchObject(refused)
    await expect(removeSession(dataDir, name)).rejects.toMatchObject(refused)
    expect(() => readSession(dataDir, name)).toThrow(expect.objectContaining(refused))
    expect(readdirSync(dataDir)).toEqual([])
  })

  test('that nobody named gets a name that sorts by time', () => {
    const names = ['2026-01-02T03:04:05Z', '2026-01-02T13:04:05Z'].map((at) =>
      newSessionName(new Date(at)),
    )

    expect(names[0]).toMatch(/^2026-01-02-030405-[0-9a-f]{4}$/)
    expect(names.toSorted()).toEqual(names)
  })
})

describe('the list of sessions', () => {
  test('has the newest first, and nothing but sessions', async () => {
    await aSession('old')
    await aSession('new')
    utimesSync(fileOf('old'), 1_000, 1_000)
    writeFileSync(join(dataDir, 'sessions', 'note.txt'), '')

    const sessions = listSessions(dataDir)

    expect(sessions.map(({ name }) => name)).toEqual(['new', 'old'])
    expect(sessions[1]).toMatchObject({ changedAt: 1_000_000, bytes: statSync(fileOf('old')).size })
  })

  test('is empty where there never was one', () => {
    expect(listSessions(join(dataDir, 'nowhere'))).toEqual([])
  })

  test('loses a session that is removed, with all its files', async () => {
    await aSession('mine')

    await removeSession(dataDir, 'mine')

    expect(readdirSync(join(dataDir, 'sessions'))).toEqual([])
    await expect(removeSession(dataDir, 'mine')).rejects.toMatchObject({ code: 'session-missing' })
    expect(() => readSession(dataDir, 'mine')).toThrow(
      expect.objectContaining({ code: 'session-missing' }),
    )
  })
})

describe('after a crash', () => {
  test('a last line torn at any byte is cut off, which is said, and the rest is there', async () => {
    const lines = await aSession('mine')
    const whole = readFileSync(fileOf('mine'))
    const lastStart = whole.lastIndexOf('\n', whole.length - 2) + 1

    for (let end = lastStart; end < whole.length; end++) {
      writeFileSync(fileOf('mine'), whole.subarray(0, end))

      const log = await SessionLog.open(dataDir, 'mine')

      const torn = end - lastStart
      const report = `the session log ended inside a line; its ${torn} bytes were cut off`
      expect(log.repairs).toEqual(torn > 0 ? [report] : [])
      expect(log.lines).toEqual(lines.slice(0, -1))
      log.append(theEnd)
      await log.close()
      expect(readFileSync(fileOf('mine')).equals(whole)).toBe(true)
    }
  })

  test('a session torn in its very first line begins anew', async () => {
    await aSession('mine')
    writeFileSync(fileOf('mine'), readFileSync(fileOf('mine')).subarray(0, 20))

    const log = await SessionLog.open(dataDir, 'mine')

    expect(log.lines).toMatchObject([{ type: 'session' }])
    expect(log.repairs).toHaveLength(1)
    await log.close()
    expect(readSession(dataDir, 'mine')).toEqual(log.lines)
  })

  test.each([
    ['no JSON', 2, '{"type":"run",'],
    ['an unknown kind of line', 3, '{"type":"surprise"}'],
    ['an item without a type', 3, '{"type":"item","runId":"run-1","item":{}}'],
    [
      'a version that never was',
      1,
      '{"type":"session","version":0,"id":"x","at":"2026-01-01T00:00:00Z"}',
    ],
    ['no session line at its head', 1, JSON.stringify(aRun)],
    ['NUL bytes where a block was never written', 4, '\0\0\0\0'],
    ['an empty line', 2, ''],
  ])('%s is damage: refused with its line, nothing changed', async (_what, line, text) => {
    await aSession('mine')
    const texts = readFileSync(fileOf('mine'), 'utf8').split('\n')
    writeFileSync(fileOf('mine'), texts.with(line - 1, text).join('\n'))
    const before = readFileSync(fileOf('mine'))
    const refused = {
      code: 'session-invalid',
      message: expect.stringContaining(`${fileOf('mine')}, line ${line} cannot be read`),
    }

    await expect(SessionLog.open(dataDir, 'mine')).rejects.toMatchObject(refused)

    expect(() => readSession(dataDir, 'mine')).toThrow(expect.objectContaining(refused))
    expect(readFileSync(fileOf('mine')).equals(before)).toBe(true)
    expect(readdirSync(join(dataDir, 'sessions'))).toEqual(['mine.jsonl'])
  })

  test('one of a newer version is refused as that, and nothing changed', async () => {
    await aSession('mine')
    const [first = '', ...rest] = readFileSync(fileOf('mine'), 'utf8').split('\n')
    const newer = [first.replace('"version":1', '"version":2'), ...rest].join('\n')
    writeFileSync(fileOf('mine'), newer)

    await expect(SessionLog.open(dataDir, 'mine')).rejects.toMatchObject({
      code: 'session-invalid',
      message: expect.stringMatching(/newer codexbox .*update codexbox/),
    })
    expect(readFileSync(fileOf('mine'), 'utf8')).toBe(newer)
  })

  test.runIf(process.platform === 'linux')('a refused session holds no file open', async () => {
    await aSession('mine')
    appendFileSync(fileOf('mine'), 'damage\n')
    const before = readdirSync('/proc/self/fd').length

    for (let attempt = 0; attempt < 20; attempt++) {
      await expect(SessionLog.open(dataDir, 'mine')).rejects.toThrow('line 5')
    }

    expect(readdirSync('/proc/self/fd').length).toBeLessThan(before + 20)
  })
})

test.skipIf(process.platform === 'win32')(
  'a line that the disk has no room for is left out as a whole, and the session goes on',
  async () => {
    // The limit on the size of a file stands for the end of the disk: a part is written, then none.
    const command = 'trap "" XFSZ; ulimit -f 64; exec "$@"'
    const child = spawn(
      'bash',
      ['-c', command, '-', process.execPath, fillerScript, dataDir, 'mine'],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    )

    const report = JSON.parse(await text(child.stdout))

    expect(report).toEqual({
      code: 'internal',
      message: expect.stringMatching(
        /^The session log \S+mine\.jsonl cannot be kept \(EFBIG: [^)]+\)\. Let this process write larger files .*\.$/,
      ),
    })
    expect(readSession(dataDir, 'mine').slice(1)).toMatchObject(
      ['before', 'after'].map((text) => ({ item: { content: [{ text }] } })),
    )
  },
)

describe('two processes', () => {
  test('cannot have the same session open; the second is told who has it', async () => {
    const first = await holder('mine')
    const inThisProcess = {
      code: 'session-busy',
      message: expect.stringContaining(`held by process ${first.child.pid}`),
    }

    expect(first.said).toEqual({ lines: 1 })
    await expect(SessionLog.open(dataDir, 'mine')).rejects.toMatchObject(inThisProcess)
    await expect(removeSession(dataDir, 'mine')).rejects.toMatchObject(inThisProcess)
    expect((await holder('mine')).said).toMatchObject({ code: 'session-busy' })
    expect(readSession(dataDir, 'mine')).toHaveLength(1)

    first.child.stdin.end()
    await once(first.child, 'exit')
    expect((await holder('mine')).said).toEqual({ lines: 1 })
  })

  test('may follow each other: a killed one leaves its session free', async () => {
    const { child } = await holder('mine')
    child.kill('SIGKILL')
    await once(child, 'exit')

    const log = await SessionLog.open(dataDir, 'mine')

    expect(log.lines).toHaveLength(1)
    await log.close()
    expect(readdirSync(join(dataDir, 'sessions'))).toEqual(['mine.jsonl'])
  })
})

const children: ChildProcessByStdio<Writable, Readable, null>[] = []

afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
})

/** Another process that has tried to open the session. */
async function holder(name: string) {
  const child = spawn(process.execPath, [holderScript, dataDir, name], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  children.push(child)
  const [line] = await once(createInterface({ input: child.stdout }), 'line')
  return { child, said: JSON.parse(line) as unknown }
}
