import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join, relative } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Budget, LIMITS } from '../../host/outer/autorun/budget.ts'
import { resolveLink } from '../../host/outer/autorun/resolve-link.ts'
import { scan } from '../../host/outer/autorun/scan.ts'
import { isFull } from '../full-size.ts'
import { judgedByGit } from './git-batch.ts'

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

const OUTSIDE = { status: 'outside', dependsOnReader: false }

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

    expect(resolve('link')).toEqual(path === undefined ? OUTSIDE : { status: 'inside', path })
  })

  test('is inside where a way out of the folder leads back into it', () => {
    const name = basename(work)
    link('above', `../${name}/a/file`)
    link('far', `../../..${'/..'.repeat(9)}${work}/a/file`)
    link('detour', `/.//nowhere/..${dirname(work)}/./${name}/a/file`)
    link('beside', `../${name}2/a/file`)

    for (const one of ['above', 'far', 'detour']) {
      expect(resolve(one)).toEqual({ status: 'inside', path: 'a/file' })
    }
    expect(resolve('beside')).toEqual(OUTSIDE)
  })

  test.each(['/proc/self/cwd/a', '/dev/../proc/1/root/x', '/dev/fd/3/a', '/dev/fd/../cwd/a'])(
    'depends on who asks: %s',
    (target) => {
      link('link', target)

      expect(resolve('link')).toEqual({ status: 'outside', dependsOnReader: true })
    },
  )

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

      expect(resolve('link')).toEqual(OUTSIDE)
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
          expect(found).toEqual(isOutside ? OUTSIDE : { status: 'inside', path: below })
        } finally {
          for (const [at] of placed) rmSync(join(work, at), { force: true })
        }
      }),
      { numRuns: isFull ? 100_000 : 100 },
    )
  }, 3_600_000)

  test('is where git finds what it runs, or is said to be unread', async () => {
    // Where commands are; each leaves a mark of its own.
    const placed = ['x/conf', 'x/y/conf', 'z', '.git/z']
    const name = fc.constantFrom('x', 'x/y', 'a', 'x/a', '..', '.', 'missing')
    const relativePath = fc
      .tuple(
        fc.array(name, { maxLength: 4 }),
        fc.constantFrom('conf', 'z', 'a', 'y/conf', 'x/conf'),
      )
      .map(([names, last]) => [...names, last].join('/'))
    const path = fc.oneof(
      { weight: 4, arbitrary: relativePath },
      relativePath.map((below) => `<work>/${below}`),
      relativePath.map((below) => `..//<name>/./${below}`),
      relativePath.map((below) => `/proc/self/root<work>/${below}`),
    )
    const links = fc.array(fc.tuple(fc.constantFrom('a', 'x/a', 'x/y/a', '.git/a'), path), {
      maxLength: 3,
    })
    const examples: [links: [at: string, target: string][], included: string][] = [
      [[], '../x/conf'],
      [[['a', 'x/y']], '../a/conf'],
    ]
    let ran = 0
    await judgedByGit({
      root: join(work, 'cases'),
      total: isFull ? 100_000 : 200,
      examples,
      cases: fc.tuple(links, path),
      prepare: (at) => {
        for (const below of ['x/y', '.git/objects', '.git/refs']) {
          mkdirSync(join(at, below), { recursive: true })
        }
        writeFileSync(join(at, '.git/HEAD'), 'ref: refs/heads/main\n')
        for (const [i, file] of placed.entries()) {
          writeFileSync(join(at, file), `[core]\nfsmonitor = ": > ${at}/.git/ran${i}; false #"\n`)
        }
      },
      place: ([links, path], at) => {
        const meant = (written: string) =>
          written.replaceAll('<work>', at).replaceAll('<name>', basename(at))
        for (const old of ['a', 'x/a', 'x/y/a', '.git/a']) rmSync(join(at, old), { force: true })
        for (const [from, target] of links) {
          if (!existsAt(join(at, from))) symlinkSync(meant(target), join(at, from))
        }
        writeFileSync(join(at, '.git/config'), `[include]\npath = ${meant(path)}\n`)
      },
      script: 'git status > /dev/null',
      check: (_, at) => {
        const started = placed.filter((_, i) => existsAt(join(at, `.git/ran${i}`)))
        if (started.length === 0) return
        ran++
        for (const i of placed.keys()) rmSync(join(at, `.git/ran${i}`), { force: true })
        const { found, unread } = scan(at)
        if (unread.size > 0) return
        for (const file of started) expect([...found.keys()]).toContain(`git ${file}`)
      },
    })
    expect(ran).toBeGreaterThanOrEqual(examples.length)
  }, 7_200_000)

  test('is found by bytes, where a name is no text', () => {
    const name = Buffer.from('\xff\xfe', 'latin1')
    mkdirSync(Buffer.concat([Buffer.from(`${work}/`), name]))
    symlinkSync(name, join(work, 'link'))

    expect(resolve('link/x')).toEqual({ status: 'inside', path: '\xff\xfe/x' })
  })

  test('is not known where it lies too deep', () => {
    mkdirSync(join(work, 'd/'.repeat(70)), { recursive: true })
    link('link', 'd/'.repeat(70))

    expect(resolve('link')).toEqual({ status: 'unknown', reason: 'it lies too deep' })
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

/** Also a link that leads nowhere. */
const existsAt = (path: string) => lstatSync(path, { throwIfNoEntry: false }) !== undefined

function realpathOf(path: string): string | undefined {
  try {
    // Not the other one, which takes `..` by words.
    return realpathSync.native(path)
  } catch {
    return undefined
  }
}
