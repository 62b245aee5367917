import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Budget, LIMITS } from '../../host/autorun/budget.ts'
import { resolveLink } from '../../host/autorun/resolve-link.ts'

let work: string

beforeEach(() => {
  work = realpathSync(mkdtempSync(join(tmpdir(), 'codexbox-links-')))
  mkdirSync(join(work, 'a/b'), { recursive: true })
  writeFileSync(join(work, 'a/file'), '')
})

afterEach(() => rmSync(work, { recursive: true, force: true }))

function link(path: string, target: string) {
  mkdirSync(dirname(join(work, path)), { recursive: true })
  symlinkSync(target, join(work, path))
}

const resolve = (path: string) => resolveLink(work, path, new Budget(LIMITS))

describe.skipIf(process.platform === 'win32')('the end of links', () => {
  test.each([
    ['a/file', 'a/file'],
    ['../a/file', undefined],
    ['a/b/../file', 'a/file'],
    ['a/b/../../..', undefined],
    ['.', ''],
    ['/etc/passwd', undefined],
  ])('to %s is %s', (target, path) => {
    link('link', target)

    expect(resolve('link')).toEqual(
      path === undefined ? { status: 'outside' } : { status: 'inside', path },
    )
  })

  test('is found by way of other links, also absolute ones', () => {
    link('one', join(work, 'a'))
    link('two', 'one/b/../file')

    expect(resolve('two')).toEqual({ status: 'inside', path: 'a/file' })
  })

  test.each(['missing/x', 'a/file/x', 'link'])('is nowhere: %s', (target) => {
    link('link', target)

    expect(resolve('link')).toEqual({ status: 'nowhere' })
  })

  test.each(['missing/../../x', `a${'/a'.repeat(200)}/..`.concat('/..'.repeat(210))])(
    'is outside where a folder that is still to be made would lead there: %s',
    (target) => {
      link('link', target)

      expect(resolve('link')).toEqual({ status: 'outside' })
    },
  )

  test('is where the system says it is', () => {
    const name = fc.constantFrom('a', 'b', 'c', '..')
    const path = fc.array(name, { minLength: 1, maxLength: 4 })
    const links = fc.array(fc.tuple(fc.constantFrom('a/c', 'a/b/c', 'b', 'c'), path), {
      maxLength: 4,
    })
    fc.assert(
      fc.property(links, path, (made, asked) => {
        const placed = made.filter(([at], i) => made.findIndex(([other]) => other === at) === i)
        for (const [at, target] of placed) link(at, target.join('/'))
        try {
          const found = resolve(asked.join('/'))
          const real = realpathOf(`${work}/${asked.join('/')}`)
          if (real === undefined) return
          const below = relative(work, real)
          const isOutside = below === '..' || below.startsWith('../')
          expect(found).toEqual(
            isOutside ? { status: 'outside' } : { status: 'inside', path: below },
          )
        } finally {
          for (const [at] of placed) rmSync(join(work, at), { force: true })
        }
      }),
      { numRuns: process.env.CHAOS === 'full' ? 100_000 : 100 },
    )
  }, 3_600_000)

  test('is found by bytes, where a name is no text', () => {
    const name = Buffer.from('\xff\xfe', 'latin1')
    mkdirSync(Buffer.concat([Buffer.from(`${work}/`), name]))
    symlinkSync(name, join(work, 'link'))

    expect(resolve('link/x')).toEqual({ status: 'inside', path: '\xff\xfe/x' })
  })

  test('is not known where it lies too deep', () => {
    mkdirSync(join(work, 'd/'.repeat(70)), { recursive: true })
    link('link', 'd/'.repeat(70))

    expect(resolve('link')).toEqual({ status: 'unknown' })
  })

  test('costs what its steps cost, and ends the look where there are too many', () => {
    for (let i = 0; i < 30; i++) link(`l${i + 1}`, `l${i}/l${i}`)
    link('l0', 'a')
    const few = new Budget({ ...LIMITS, steps: 1000 })

    for (let i = 0; i < 100; i++) {
      try {
        resolveLink(work, 'l30', few)
      } catch (error) {
        expect(error).toMatchObject({ name: 'CutShortError' })
        return
      }
    }
    expect.unreachable()
  })
})

function realpathOf(path: string): string | undefined {
  try {
    // Not the other one, which takes `..` by words.
    return realpathSync.native(path)
  } catch {
    return undefined
  }
}
