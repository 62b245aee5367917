import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { ClippedOutput } from '../../container/worker/clipped-output.ts'
import { startWorker } from './worker-process.ts'

const CAFE: [encoding: string, bytes: Buffer][] = [
  ['Latin-1', Buffer.from('caf\xe9 au lait\n', 'latin1')],
  ['Shift-JIS', Buffer.from([0x83, 0x65, 0x83, 0x58, 0x83, 0x67, 0x0a])],
  ['GBK', Buffer.from([0xb2, 0xe2, 0xca, 0xd4, 0x0a])],
  ['UTF-8 that is cut', Buffer.from('caf\u00e9').subarray(0, 4)],
]

describe.concurrent.for(CAFE)('text in %s', ([, bytes]) => {
  test('is said to have lost bytes when a file of it is read', async (t) => {
    const worker = startWorker(t)
    writeFileSync(join(worker.workspace, 'file'), bytes)

    for (const part of [{}, { offset: 1, limit: 1 }]) {
      const { ok, output } = await worker.call('read_file', { path: 'file', ...part })

      expect(ok).toBe(true)
      expect(output).toMatch(/^\[file is not UTF-8: each \uFFFD stands for bytes .*with bash\]\n/)
    }
  })

  test('is not replaced by a file in UTF-8', async (t) => {
    const worker = startWorker(t)
    writeFileSync(join(worker.workspace, 'file'), bytes)

    const { ok, output } = await worker.call('write_file', { path: 'file', content: 'caf\uFFFD' })

    expect({ ok, output }).toEqual({
      ok: false,
      output: expect.stringContaining('file is not UTF-8, and would be in another encoding'),
    })
    expect(readFileSync(join(worker.workspace, 'file'))).toEqual(bytes)
  })

  test('is said to have lost bytes when a command puts it out', async (t) => {
    const worker = startWorker(t)
    writeFileSync(join(worker.workspace, 'file'), bytes)

    const { output } = await worker.call('bash', { command: 'cat file' })

    expect(output).toContain('[this output is not UTF-8: each \uFFFD stands for bytes')
  })
})

describe.concurrent('text in UTF-8', () => {
  test('is never said to have lost anything, wherever it is cut', async (t) => {
    const worker = startWorker(t)
    const command = `for i in $(seq 3000); do printf '\\303\\251\\360\\237\\230\\200'; done`

    const { output } = await worker.call('bash', { command }, { toolOutputBytes: 1001 })

    expect(output).toContain('left out here')
    expect(output).not.toContain('\uFFFD')
    expect(output).not.toContain('UTF-8')
  })

  test('comes whole where the command is asked in the middle of a character', async (t) => {
    const worker = startWorker(t)
    const command = `printf 'caf\\303'; until [ -e go ]; do sleep 0.01; done; printf '\\251 au lait'`
    const first = await worker.call('bash', { command, yield_time_ms: 400 })
    const session = Number(/session id (\d+)/.exec(first.output)?.[1])
    writeFileSync(join(worker.workspace, 'go'), '')
    const rest = await worker.call('write_stdin', { session_id: session, yield_time_ms: 5000 })

    const [before = '', after = ''] = [first, rest].map(
      ({ output }) => output.split('\noutput:\n')[1] ?? '',
    )
    expect(before + after).toBe('caf\u00e9 au lait')
  })
})

test('what begins a character and is not whole is taken off the end, of a long output too', () => {
  for (const length of [0, 3, 1000]) {
    const output = new ClippedOutput(100)
    output.push(Buffer.from(`${'x'.repeat(length)}\u20ac`).subarray(0, length + 2))

    const rest = output.takeUnfinished()

    expect(rest).toEqual(Buffer.from([0xe2, 0x82]))
    expect(output.isExact).toBe(true)
    expect(output.totalBytes).toBe(length)
    expect(output.toString()).not.toContain('\uFFFD')
  }
})
