import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { fileTokenStore } from '../../host/auth/token-store.ts'
import { planLimits } from '../../host/models/plan-limits.ts'
import { packageRoot } from '../../host/package-root.ts'
import { historyOf, isUnfinished, lastWorkspace } from '../../host/runs/history.ts'
import { listSessions, readSession, SessionLog } from '../../host/runs/session-log.ts'

/** A data folder as 0.1.0 wrote it: a sign-in, a session of two runs, the limits of the plan. */
const EARLIER = join(packageRoot, 'test/fixtures/data-0.1')

let dataDir: string

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'codexbox-earlier-'))
  cpSync(EARLIER, dataDir, { recursive: true })
})

afterEach(() => rmSync(dataDir, { recursive: true, force: true }))

test('the sign-in of an earlier version is read', async () => {
  expect(await fileTokenStore(dataDir).read()).toMatchObject({
    access_token: expect.stringMatching(/^eyJ/),
    refresh_token: 'rt_first',
    account_id: 'acct-standin',
    plan: 'pro',
    expires_at: 1_796_099_891_000,
  })
})

test('a session of an earlier version is listed, read and gone on with', async () => {
  const lines = readSession(dataDir, 'earlier')
  const { items, repairs } = historyOf(lines, 'codex:acct-standin')

  expect(listSessions(dataDir).map(({ name }) => name)).toEqual(['earlier'])
  expect(repairs).toEqual([])
  expect(items.map(({ type }) => type)).toEqual([
    'message',
    'reasoning',
    'function_call',
    'function_call_output',
    'message',
    'message',
    'message',
  ])
  expect(lastWorkspace(lines)).toBe('/work/project')
  expect(isUnfinished(lines)).toBe(false)

  const log = await SessionLog.open(dataDir, 'earlier')
  log.append({ type: 'item', runId: 'later', item: items[0] as (typeof items)[0] })
  await log.close()
  const text = readFileSync(join(dataDir, 'sessions/earlier.jsonl'), 'utf8')
  expect(text.startsWith(readFileSync(join(EARLIER, 'sessions/earlier.jsonl'), 'utf8'))).toBe(true)
  expect(readSession(dataDir, 'earlier')).toHaveLength(lines.length + 1)
})

test('the limits that an earlier version kept stand in where the service does not answer', async () => {
  const codexBaseUrl = new URL('http://127.0.0.1:9/backend-api/codex')
  const { ask } = planLimits({ dataDir, codexBaseUrl, owner: 'codex:acct-standin' })

  expect(await ask(async () => ({}))).toMatchObject({
    at: 1_796_096_294_202,
    limits: { plan: 'pro', limits: [{ id: 'codex', primary: { usedPercent: 12 } }] },
    problem: expect.any(String),
  })
})
