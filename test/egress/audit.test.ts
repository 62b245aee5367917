import { expect, test } from 'vitest'
import type { EgressLine } from '../../host/gateway/request-log.ts'
import { egressAudit } from '../../host/outer/egress/audit.ts'
import type { TunnelRecord } from '../../host/outer/egress/tunnels.ts'

const aTarget = (given: Partial<TunnelRecord>): TunnelRecord => ({
  at: '2026-01-01T00:00:00.000Z',
  target: 'a.example:443',
  bytesUp: 0,
  bytesDown: 0,
  ms: 1,
  ...given,
})

function anAudit() {
  const lines: EgressLine[] = []
  const told: string[] = []
  const note = (line: EgressLine) => lines.push(line)
  const tell = (message: string) => told.push(message)
  return { lines, told, onTarget: egressAudit('conversation-1', { note, tell }) }
}

test('all is taken down, and what was refused is told once for each target', () => {
  const { lines, told, onTarget } = anAudit()

  onTarget(aTarget({ bytesUp: 7 }))
  for (const target of ['b.example:443', 'b.example:443', 'c.example:22']) {
    onTarget(aTarget({ target, why: 'no' }))
  }

  expect(lines.map(({ target }) => target)).toEqual([
    'a.example:443',
    'b.example:443',
    'b.example:443',
    'c.example:22',
  ])
  expect(lines[0]).toMatchObject({ conversation: 'conversation-1', bytesUp: 7 })
  expect(told).toEqual([
    'The sandbox asked for b.example:443: no.',
    'The sandbox asked for c.example:22: no.',
  ])
})

test('a flood of requests fills neither the disk nor the screen', () => {
  const { lines, told, onTarget } = anAudit()

  for (let at = 0; at < 5000; at++) onTarget(aTarget({ target: `${at}.example:443`, why: 'no' }))

  expect(lines).toHaveLength(1000)
  expect(told).toHaveLength(20)
})

test('a flood of refusals does not hide what is reached after it', () => {
  const { lines, onTarget } = anAudit()
  for (let at = 0; at < 5000; at++) onTarget(aTarget({ why: 'no' }))

  onTarget(aTarget({ bytesUp: 7 }))

  expect(lines.at(-1)).toMatchObject({ target: 'a.example:443', bytesUp: 7 })
})
