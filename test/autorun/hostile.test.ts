import { mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import { LIMITS } from '../../host/outer/autorun/budget.ts'
import { Stop, scanInProcess } from '../../host/outer/autorun/scan-in-process.ts'
import { asking, type Home, openHome, type RunningCli, said } from '../cli/cli-process.ts'
import {
  callsAnswer,
  type ModelServer,
  startModelServer,
  textAnswer,
} from '../fakes/model-server.ts'
import { isFull } from '../full-size.ts'
import {
  deepFolders,
  largeIndex,
  linkChains,
  manyLinks,
  quadraticTexts,
} from './hostile-folders.ts'

const KINDS = { linkChains, quadraticTexts, largeIndex, deepFolders, manyLinks }
const SIGNALS = ['SIGINT', 'SIGTERM'] as const

/** Made once, for nothing here changes it. */
const folders = new Map<string, string>()

function folderOf(kind: keyof typeof KINDS): string {
  const known = folders.get(kind)
  if (known !== undefined) return known
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'codexbox-hostile-')))
  KINDS[kind](folder)
  folders.set(kind, folder)
  return folder
}

afterAll(() => {
  for (const folder of folders.values()) rmSync(folder, { recursive: true, force: true })
})

/** Each signal in each kind of folder; a few of them where there is little time. */
const signalled = Object.keys(KINDS).flatMap((kind, i) =>
  SIGNALS.filter((_, j) => isFull || kind === 'linkChains' || i % 2 === j).map(
    (signal) => [kind as keyof typeof KINDS, signal] as const,
  ),
)

describe.each(Object.keys(KINDS))('a folder of %s', (name) => {
  const folder = () => folderOf(name as keyof typeof KINDS)

  test('is looked at within the deadline, with little memory, beside the event loop', async () => {
    const root = folder()
    let mostMs = 0
    let last = performance.now()
    const timer = setInterval(() => {
      mostMs = Math.max(mostMs, performance.now() - last)
      last = performance.now()
    }, 5)
    const startedAt = performance.now()

    const result = await scanInProcess({ root, onlyNews: false }, undefined, new Stop())

    clearInterval(timer)
    const scanner = ownChildren().find((pid) => commandOf(pid).includes('scan-process'))
    expect(performance.now() - startedAt).toBeLessThan(LIMITS.ms + 3000)
    expect(mostMs).toBeLessThan(1000)
    expect(result).toMatchObject({ status: 'looked' })
    if (scanner) expect(peakMemory(scanner)).toBeLessThan(400 * 1024)
  }, 60_000)

  test('is left at once when the look is to end', async () => {
    const stop = new Stop()
    const looking = scanInProcess({ root: folder(), onlyNews: false }, undefined, stop)
    await expect.poll(() => ownChildren().length).toBeGreaterThan(0)

    stop.stop()

    expect(await looking).toMatchObject({ status: expect.stringMatching(/failed|looked/) })
  })
})

/** The figure is that of a machine which does nothing else; the whole suite runs two files at once. */
const HEEDED_MS = isFull ? 100 : 400

describe('while a hostile folder is looked at, the command', () => {
  let home: Home
  let server: ModelServer

  beforeEach(async () => {
    home = openHome()
    server = await startModelServer([])
  })

  afterEach(async () => {
    await server.close()
    home.clear()
  })

  const start = (kind: keyof typeof KINDS, ...args: string[]): RunningCli =>
    home.start(['run', '--workspace', folderOf(kind), ...args, 'Go.'], { env: asking(server) })

  const looks = ({ child }: RunningCli) =>
    childrenOf(child.pid ?? 0).some((pid) => commandOf(pid).includes('scan-process') && isBusy(pid))

  test.each(signalled)(
    '(%s) heeds %s before the first tool',
    async (kind, signal) => {
      server.play(callsAnswer(['bash', { command: 'touch ran' }]), textAnswer('Done.'))
      const running = start(kind)
      // The process for it is there before, and busy as it starts.
      const isLooking = () => server.requests.length > 0 && looks(running)
      await expect.poll(isLooking, { interval: 5, timeout: 20_000 }).toBe(true)
      const stopping = said(running, 'Stopping')
      const signalledAt = performance.now()

      running.child.kill(signal)
      await stopping

      expect(performance.now() - signalledAt).toBeLessThan(HEEDED_MS)
      expect((await running.result).code).toBe(signal === 'SIGINT' ? 130 : 143)
      expect(readdirSync(folderOf(kind))).not.toContain('ran')
    },
    60_000,
  )

  test.each(isFull ? signalled : signalled.slice(0, 2))(
    '(%s) heeds %s at the end of a run',
    async (kind, signal) => {
      // The tool waits for the first look to be done.
      server.play(callsAnswer(['bash', { command: 'true' }]), textAnswer('Done.'))
      const running = start(kind, '--json')
      const lines: string[] = []
      running.child.stdout?.on('data', (chunk) => lines.push(String(chunk)))
      const hasSaid = (words: string) => () => lines.join('').includes(words)
      await expect.poll(hasSaid('"text":"Done."'), { timeout: 20_000 }).toBe(true)
      await expect.poll(() => looks(running), { interval: 5, timeout: 20_000 }).toBe(true)
      const signalledAt = performance.now()

      running.child.kill(signal)
      await expect.poll(hasSaid('"type":"finished"'), { interval: 5, timeout: 20_000 }).toBe(true)

      expect(performance.now() - signalledAt).toBeLessThan(HEEDED_MS)
      expect(lines.join('')).toContain('the look did not come to its end: it was stopped')
      expect((await running.result).code).toBe(signal === 'SIGINT' ? 130 : 143)
      // It is not looked once more.
      expect(performance.now() - signalledAt).toBeLessThan(2000)
    },
    60_000,
  )
})

const childrenOf = (pid: number) =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number)

const ownChildren = () => childrenOf(process.pid)

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8')
  } catch {
    return ''
  }
}

/** At work, and not waiting for its next order. */
const isBusy = (pid: number) => / R /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))

/** In KiB. */
function peakMemory(pid: number): number {
  return Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1])
}
