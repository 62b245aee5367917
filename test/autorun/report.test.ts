import { expect, test } from 'vitest'
import { Findings } from '../../host/outer/autorun/findings.ts'
import { KINDS, kindsByWeight } from '../../host/outer/autorun/kinds.ts'
import {
  allPlaces,
  HOOK,
  type Place,
  placeOfFile,
  placeOfFolder,
} from '../../host/outer/autorun/places.ts'
import { reportOf, shownName } from '../../host/outer/autorun/report.ts'
import { autorunLines } from '../../host/outer/cli/autorun-lines.ts'
import { visibleName } from '../../shared/visible-text.ts'

const place = (kind: Place['kind']): Place => ({ ...HOOK, kind })

test('decoys push no other kind away, and the dangerous ones are first', () => {
  const findings = new Findings()
  for (let i = 0; i < 300; i++) findings.note(place('pushed'), `decoy${i}`, 's')
  for (let i = 0; i < 300; i++) findings.note(place('editor'), `a/decoy${i}`, 's')
  findings.note(place('git'), 'deep/down/.git/config', 's')
  findings.noteUnread('index', 'it has the unknown version 9')
  findings.note(place('agent'), 'AGENTS.md', 's')

  const report = reportOf({}, findings)

  expect(report?.paths).toHaveLength(50)
  expect(report?.more).toBe(553)
  expect(report?.kinds).toEqual([
    { kind: 'git', count: 1 },
    { kind: 'editor', count: 300 },
    { kind: 'unread', count: 1 },
    { kind: 'agent', count: 1 },
    { kind: 'pushed', count: 300 },
  ])
  const kinds = report?.paths.map(({ kind }) => kind)
  expect(kinds?.filter((kind) => kind !== 'editor')).toEqual(['git', 'unread', 'agent', 'pushed'])
  expect(kinds?.[0]).toBe('git')
  const lines = report && autorunLines(report)
  expect(lines?.changed[0]).toBe(
    'deep/down/.git/config: git runs commands from it, also for `git status`',
  )
  expect(lines?.changed[1]).toMatch(/^a\/decoy0, .* and 296 more: an editor/)
  expect(lines?.changed).toHaveLength(4)
  expect(lines?.unread).toBe('index (it has the unknown version 9)')
})

test('many files of one reason push away none of another', () => {
  const findings = new Findings()
  for (let i = 0; i < 300; i++) findings.note(place('git'), `!${i}/.gitattributes`, 's')
  findings.note({ ...place('git'), why: 'git runs commands from it' }, 'z/.git/config', 's')

  const report = reportOf({}, findings)

  expect(report?.paths.slice(0, 2).map(({ path }) => path)).toContain('z/.git/config')
})

test('what was not read is said each time, and where only news are wanted once', () => {
  const findings = new Findings()
  findings.noteUnread('a', 'it lies too deep')

  expect(reportOf(findings.states, findings)?.paths).toMatchObject([{ path: 'a', kind: 'unread' }])
  expect(reportOf(findings.states, findings, { onlyNews: true })).toBeUndefined()
})

test('more files of a kind than are kept are said to be so, for each kind, and that the look was cut short', () => {
  const findings = new Findings()
  for (const kind of ['hook', 'git'] as const) {
    for (let i = 0; i < 6000; i++) {
      findings.note({ ...place(kind), why: `it runs it, ${i % 2}` }, `h${i}`, 's')
    }
  }
  findings.noteUnread('.', 'the look was cut short: it took longer than 3 s')

  expect(findings.found.size).toBe(10_000)
  expect([...findings.unread]).toEqual([
    [
      '.',
      'there are more than 5000 files of the kind "hook"; there are more than 5000 files of the kind "git"; ' +
        'the look was cut short: it took longer than 3 s',
    ],
  ])
})

test('more that was not read than is kept is said to be so', () => {
  const findings = new Findings()
  for (let i = 0; i < 6000; i++) findings.noteUnread(`u${i}`, 'it lies too deep')

  expect(findings.unread.size).toBe(5001)
  expect(findings.unread.get('.')).toBe('there are more than 5000 files that were not read')
})

test('what is unread of the look as a whole is first, and no words of a name push away another reason', () => {
  const findings = new Findings()
  for (let i = 0; i < 100; i++) findings.noteUnread(`!${i}`, `it leads to /proc/self/${i}`)
  findings.noteUnread('.git/index', 'what it tells git to look at is not known: it is too short')
  findings.noteUnread('.', 'the look was cut short: it took longer than 3 s')

  const report = reportOf({}, findings)

  const paths = report?.paths.map(({ path }) => path)
  expect(paths?.slice(0, 3)).toEqual(['.', '!0', '.git/index'])
  expect(report && autorunLines(report).unread).toMatch(
    /^\. \(the look was cut short: .*\), !0 \(.*\), \.git\/index \(/,
  )
})

test('a file that counts for two reasons has changed with either', () => {
  const states = ([file, index]: [string, string]) => {
    const findings = new Findings()
    findings.note({ ...place('git'), why: 'by the index' }, '.gitattributes', index)
    for (let i = 0; i < 2; i++) findings.note(place('git'), '.gitattributes', file)
    return findings.states['git .gitattributes']
  }

  expect(new Set([states(['a', 'b']), states(['c', 'b']), states(['a', 'c'])]).size).toBe(3)
})

test('each place says who runs it and when, where that is documented, and has a kind with a weight', () => {
  for (const { kind, why, source } of allPlaces) {
    expect(kindsByWeight).toContain(kind)
    expect(why).toMatch(/^\S.* (runs|loads|takes \w+ or \w+ from) it when .+[^.]$/)
    expect(new URL(source).protocol).toBe('https:')
  }
  expect(Object.values(KINDS).every((text) => /^\w.*[^.]$/.test(text))).toBe(true)
})

test.each([
  ['vitest.config.mts', '', 'editor'],
  ['.lintstagedrc.mjs', 'a/b', 'hook'],
  ['lefthook-local.yml', '', 'hook'],
  ['hgrc', '.hg', 'git'],
  ['.mise.production.toml', '', 'enter'],
  ['config.toml', '.config/mise', 'enter'],
  ['.pnp.cjs', '', 'program'],
  ['gradle-wrapper.jar', 'gradle/wrapper', 'editor'],
  ['activate', 'x/.venv/bin', 'shell'],
  ['conftest.py', 'tests', 'editor'],
  ['copilot-instructions.md', '.github', 'agent'],
  ['Web.csproj', 'src', 'editor'],
  ['playwright.ci.config.ts', 'e2e', 'editor'],
  ['.oxlintrc.jsonc', '', 'editor'],
  ['rector.dist.php', '', 'editor'],
  ['build.yml', '.gitlab-ci', 'pushed'],
  ['vercel.ts', '', 'pushed'],
])('%s in %s is a place of the kind of %s', (name, path, kind) => {
  expect((placeOfFile(name, path) ?? placeOfFolder(path, ''))?.kind).toBe(kind)
})

test.each([
  'main.ts',
  'constructor',
  '__proto__',
  'config',
  'activate',
  '.vitest.config',
  'oxlint.config.cjs',
  'buildspec.yaml',
  'a.vscode',
])('%s is none', (name) => {
  expect(placeOfFile(name, 'src') ?? placeOfFolder(name, 'src')).toBeUndefined()
})

test('a name that is no text is shown by its bytes', () => {
  expect(shownName('a\xff/\xc3\xa4')).toBe('a\\xff/\\xc3\\xa4')
  expect(shownName('a/\xc3\xa4')).toBe('a/ä')
})

test('no name moves the terminal, turns its text round, hides in it or is cut at its end', () => {
  expect(visibleName('a\nb\x1b[2J\x9b\u202e\u200b\u2028\u{e0041}', 200)).toBe(
    'a\\x0ab\\x1b[2J\\x9b\\u202e\\u200b\\u2028\\u{e0041}',
  )
  expect(visibleName('x'.repeat(500).concat('/.git/config'), 40)).toMatch(/^x+…x+\/\.git\/config$/)
  expect(visibleName('x'.repeat(500), 40)).toHaveLength(40)
})
