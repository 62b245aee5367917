import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { LiveOutput } from '../../container/worker/live-output.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

function live(isBusy = () => false) {
  const sent: string[] = []
  const output = new LiveOutput((text) => void sent.push(text), isBusy)
  return { sent, output, push: (text: string | Buffer) => output.push(Buffer.from(text)) }
}

describe('output that comes while a tool runs', () => {
  test('is passed on after a moment, what came in it together', () => {
    const { sent, push } = live()
    push('one ')
    push('two')
    expect(sent).toEqual([])
    vi.advanceTimersByTime(100)
    push('three')
    vi.advanceTimersByTime(100)

    expect(sent).toEqual(['one two', 'three'])
  })

  test('is passed on at the end, and nothing after it', () => {
    const { sent, output, push } = live()
    push('last')
    output.end()
    push('late')
    vi.runAllTimers()

    expect(sent).toEqual(['last'])
  })

  test('is thinned when it is a flood', () => {
    const { sent, output, push } = live()
    for (let n = 0; n < 100; n++) {
      push(Buffer.alloc(100_000, 0x78))
      vi.advanceTimersByTime(10)
    }
    output.end()

    expect(sent.length).toBeLessThanOrEqual(11)
    for (const text of sent) {
      expect(text.length).toBeLessThan(8300)
      expect(text).toContain('left out here')
    }
  })

  test('is kept back, and thinned, while the reader is busy', () => {
    let isBusy = true
    const { sent, push } = live(() => isBusy)
    for (let n = 0; n < 20; n++) {
      push(`${n}${'x'.repeat(1000)}`)
      vi.advanceTimersByTime(100)
    }
    expect(sent).toEqual([])
    isBusy = false
    vi.advanceTimersByTime(100)

    expect(sent).toHaveLength(1)
    expect(sent[0]).toMatch(/^0x.*\n\[….*left out here …\]\n.*x$/s)
  })

  test('is never torn inside a character', () => {
    const text = 'ä€😀'.repeat(5)
    const bytes = Buffer.from(text)
    for (let cut = 0; cut <= bytes.length; cut++) {
      const { sent, output, push } = live()
      push(bytes.subarray(0, cut))
      vi.advanceTimersByTime(100)
      push(bytes.subarray(cut))
      output.end()
      expect(sent.join('')).toBe(text)
    }
  })

  test('that ends inside a character is passed on all the same', () => {
    const { sent, output, push } = live()
    push(Buffer.from('ä').subarray(0, 1))
    output.end()

    expect(sent).toEqual(['\ufffd'])
  })
})
