import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { MAX_RETRIES } from '../../container/agent/retry-policy.ts'
import { MAX_PAUSE_MS } from '../../host/auth/renewal/renew-in-process.ts'
import { LIMIT_MS } from '../../host/auth/renewal/start-process.ts'
import { PORTS } from '../../host/auth/sign-in/browser-sign-in.ts'
import { DEFAULT_LIMITS } from '../../host/open-conversation.ts'
import { LIMITS } from '../../host/outer/autorun/budget.ts'
import { MAX_DEPTH } from '../../host/outer/autorun/tree.ts'
import { MAX_UNREAD_PROGRESS_BYTES } from '../../host/runs/run.ts'

/** The text of a document, whatever its lines. */
const page = (path: string) =>
  readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8').replaceAll(/\s+/g, ' ')

const MINUTE = 60_000
const MIB = 1024 * 1024

test('README.md says how long a container waits for the next question', () => {
  expect(page('README.md')).toContain('after a quarter of an hour without a question')
  expect(DEFAULT_LIMITS.idleMs).toBe(15 * MINUTE)
})

test('docs/events.md says how long a run may take, how often it asks and tries, and what a late reader finds', () => {
  const events = page('docs/events.md')

  expect(events).toContain(`(without it: ${DEFAULT_LIMITS.runMs / MINUTE} minutes)`)
  expect(events).toContain(`(${DEFAULT_LIMITS.maxTurns} model requests)`)
  expect(events).toContain('was tried six times')
  expect(MAX_RETRIES).toBe(5)
  expect(events).toContain(`past ${MAX_UNREAD_PROGRESS_BYTES / MIB} MiB`)
})

test('docs/sign-in.md says which ports are used, and how long a renewal and a pause may take', () => {
  const signIn = page('docs/sign-in.md')

  expect(signIn).toContain(`http://127.0.0.1:${PORTS[0]}/auth/callback\`, or to port ${PORTS[1]}`)
  expect(signIn).toContain('which takes two minutes at the most')
  expect(LIMIT_MS).toBe(2 * MINUTE)
  expect(signIn).toContain('is kept, up to a quarter of an hour')
  expect(MAX_PAUSE_MS).toBe(15 * MINUTE)
})

test('docs/workspace.md has the bounds of the look as they are', () => {
  const { ms, entries, bytes, steps, repositories } = LIMITS
  const spaced = (count: number) => count.toLocaleString('en').replaceAll(',', ' ')

  expect(page('docs/workspace.md')).toContain(
    `${ms / 1000} s, ${spaced(entries)} names, ${bytes / MIB} MiB of contents, ${spaced(steps)} steps to files, ` +
      `folders and along links, ${repositories} repositories, ${MAX_DEPTH} folders deep`,
  )
})
