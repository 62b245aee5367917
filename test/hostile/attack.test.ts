import { expect, test } from 'vitest'
import { type AttackReport, attack } from '../../host/outer/doctor/attack/attack.ts'
import { type Area, attackCases } from '../../host/outer/doctor/attack/attack-cases.ts'
import { describeWithEngine, withoutLeftovers } from '../real-engine.ts'

/** It starts two dozen processes, on a machine that may be busy. */
const LONG_MS = 180_000

const isRoot = process.getuid?.() === 0

const ofArea = (report: AttackReport, area: Area) =>
  report.results.filter((result) => result.area === area)
const notHeld = (report: AttackReport) =>
  report.results
    .filter(({ outcome }) => outcome === 'not-held')
    .map(({ id, detail }) => ({ id, detail }))
const idsOf = (area: Area) => attackCases.filter((one) => one.area === area).map(({ id }) => id)

describeWithEngine('a hostile tool in a container', ({ docker, image }) => {
  const attacked = async (
    credentials: 'sealed' | 'direct',
    owner?: { uid: number; gid: number },
  ) => {
    const report = await attack({ credentials, config: { image }, ...(owner ? { owner } : {}) })
    await withoutLeftovers(docker, { label: [`codexbox.pid=${process.pid}`] })
    return report
  }

  let sealed: Promise<AttackReport> | undefined
  const inSealed = () => {
    sealed ??= attacked('sealed')
    return sealed
  }

  // Each by itself, so that a red one says what it is that did not hold.
  test.each(attackCases.map(({ id, title }) => [id, title]))(
    'gets nothing in sealed mode: %s, %s',
    async (id) => {
      const { results } = await inSealed()

      const result = results.find((one) => one.id === id)
      // Not every machine has every kind of address, nor every image what it takes.
      if (result?.outcome === 'not-tried') return expect(['N1', 'N2', 'N6', 'A4']).toContain(id)
      expect(result).toMatchObject({ outcome: 'held', detail: [] })
      // The same way led somewhere where it was allowed to, so it was really gone.
      if (result?.proved !== undefined) expect(result.proved).toBe(true)
    },
    LONG_MS,
  )

  test(
    'takes no byte of any secret out of a sealed container',
    async () => {
      const { leaked, toolUser } = await inSealed()

      expect(leaked).toEqual({ bytes: 0, places: [] })
      expect(toolUser.uid).not.toBe(0)
    },
    LONG_MS,
  )

  test(
    'gets the real token by none of the twelve ways in direct mode, in which it is in the container',
    async () => {
      const report = await attacked('direct')

      const theft = ofArea(report, 'theft')
      expect(theft.map(({ id }) => id)).toEqual(idsOf('theft'))
      expect(theft.filter(({ outcome }) => outcome !== 'held')).toEqual([])
      expect(notHeld(report)).toEqual([])
      expect(report.leaked).toEqual({ bytes: 0, places: [] })
    },
    LONG_MS,
  )

  test.runIf(isRoot).each(['sealed', 'direct'] as const)(
    'gets no more in %s mode where root owns the workspace, but that it can end its own run',
    async (credentials) => {
      const report = await attacked(credentials, { uid: 0, gid: 0 })

      expect(report.toolUser.uid).toBe(0)
      expect(report.leaked).toEqual({ bytes: 0, places: [] })
      // It is root by name, of what is root's, and nothing else.
      const details = Object.fromEntries(notHeld(report).map(({ id, detail }) => [id, detail]))
      expect(details).toEqual({
        X4: ['uid 0', 'setuid(0)', 'a shell with set-user-id', 'chown'],
        // Never to the first process, which waits for the agent, and for its being halted as well.
        X8: [expect.stringMatching(/^a signal by a file to (?!1$)\d+$/)],
      })
    },
    LONG_MS,
  )
})
