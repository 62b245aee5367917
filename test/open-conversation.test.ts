import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openConversation } from '../host/open-conversation.ts'
import { timeoutMs } from '../host/outer/cli/options.ts'
import type { RunLimits } from '../shared/protocol.ts'

let folder: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'codexbox-open-'))
  mkdirSync(join(folder, 'work'))
})

afterEach(() => rmSync(folder, { recursive: true, force: true }))

const open = (limits: Partial<RunLimits>) =>
  openConversation({
    workspace: join(folder, 'work'),
    settings: { provider: 'demo', engine: 'process', dataDir: join(folder, 'data') },
    session: 'mine',
    limits,
  })

test.each([0, -1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 31, '1e9', '512 MB', null])(
  'a limit of %j is refused, and nothing is left of it',
  async (value) => {
    for (const name of ['maxTurns', 'runMs', 'toolOutputBytes'] as const) {
      await expect(open({ [name]: value as number })).rejects.toMatchObject({
        code: 'wrong-use',
        message: expect.stringContaining(`The limit ${name} cannot be used: `),
      })
    }

    expect(existsSync(join(folder, 'data'))).toBe(false)
  },
)

test('the greatest limit is one', async () => {
  const conversation = await open({ runMs: 1e9, toolOutputBytes: 2 ** 30 })

  await conversation.close()
})

test.each(['0', '-1', 'NaN', '1e9', 'Infinity', '512 MB', '', 'soon'])(
  'a timeout of %j is refused',
  (text) => {
    expect(() => timeoutMs(text)).toThrow('--timeout wants seconds, up to a day')
  },
)
