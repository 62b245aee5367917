import { expect, test } from 'vitest'
import { chatCommand } from '../../host/outer/cli/chat-command.ts'
import { endOfWait } from '../../host/outer/cli/wait-for-limit.ts'

test.each([
  [60_000, 0, 61_000],
  [60_000, 3, 61_000],
  [-60_000, 0, 0],
  [-60_000, 1, 2_000],
  [-60_000, 3, 8_000],
  [0, 9, 512_000],
  [0, 10, 600_000],
  [0, 5000, 600_000],
])(
  'a limit lifted in %i ms is waited for, after %i times before, for %i ms',
  (resetsIn, before, waitMs) => {
    const now = Date.now()

    expect(endOfWait(now + resetsIn, before, now)).toBe(now + waitMs)
  },
)

test.each([{ image: ['a.png'] }, { waitForLimit: true }, { minRemaining: '10' }])(
  'a chat refuses what is for one run: %j',
  async (options) => {
    await expect(chatCommand(options)).rejects.toMatchObject({ code: 'wrong-use' })
  },
)
