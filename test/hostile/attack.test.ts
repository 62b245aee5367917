import { chownSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { type AttackReport, attack } from '../../host/doctor/attack/attack.ts'
import { type Area, attackCases } from '../../host/doctor/attack/attack-cases.ts'
import { openConversation } from '../../host/runs/open-conversation.ts'
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

  test.runIf(isRoot)(
    'is not let near the real token: direct is refused where root owns the workspace',
    async () => {
      const root = mkdtempSync(join(tmpdir(), 'codexbox-of-root-'))
      const [workspace, dataDir] = [join(root, 'work'), join(root, 'data')]
      mkdirSync(workspace)
      const open = (credentials: 'sealed' | 'direct') =>
        openConversation({
          workspace,
          settings: {
            provider: 'openai',
            openaiApiKey: 'sk-canary',
            credentials,
            network: credentials === 'direct' ? 'open' : 'none',
            engine: 'docker',
            image,
            dataDir,
          },
        })

      await expect(open('direct')).rejects.toMatchObject({
        code: 'config-invalid',
        message: expect.stringMatching(
          /^AGENT_CREDENTIALS=direct is refused in \S+\/work: root owns it, .*the real token; .*ordinary user, or use sealed\.$/,
        ),
      })
      expect(existsSync(dataDir)).toBe(false)
      const sealed = await open('sealed')
      expect(sealed.toolsIsolated).toBe(false)
      await sealed.close()
      chownSync(workspace, 1000, 1000)
      const ofOrdinaryUser = await open('direct')
      expect(ofOrdinaryUser.toolsIsolated).toBe(true)
      await ofOrdinaryUser.close()
      rmSync(root, { recursive: true })
    },
  )

  // The control, past what refuses it: shows that the attack is one, and what the refusal is for.
  test.runIf(isRoot)(
    'gets at the agent where the workspace is root’s own, and at the token if that is there',
    async () => {
      const report = await attacked('direct', { uid: 0, gid: 0 })

      const failed = notHeld(report).map(({ id }) => id)
      expect(failed).toEqual(expect.arrayContaining(['A2', 'A3', 'A4', 'A5', 'A6', 'A7', 'X8']))
      expect(report.leaked.bytes).toBeGreaterThanOrEqual(43)
      expect(report.leaked.places).toContain('the workspace')
      // Even then: what is of the host alone.
      for (const id of ['A8', 'A10', 'A11', 'X1', 'X2', 'X3', 'X5', 'F1', 'F4']) {
        expect(failed).not.toContain(id)
      }
    },
    LONG_MS,
  )
})
