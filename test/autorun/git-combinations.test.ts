import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir, userInfo } from 'node:os'
import { basename, join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { reportOf, shownName } from '../../host/outer/autorun/report.ts'
import { scan } from '../../host/outer/autorun/scan.ts'
import { readUserConfig } from '../../host/outer/autorun/user-config.ts'
import { isFull } from '../full-size.ts'

// Ways to a repository, ways from it to a config, and things that a config has git run, each with each. Git itself is
// the judge: what is planted leaves a mark when it runs. Paths are bytes, one character each (latin1).

let box: string
let work: string
let home: string
/** A repository with a commit of `file`, `file.bin` and `dist/deep/file`, to be copied. */
let template: string

beforeAll(() => {
  box = realpathSync(mkdtempSync(join(tmpdir(), 'codexbox-combinations-')))
  work = join(box, 'work')
  home = join(box, 'home')
  template = join(box, 'template')
  mkdirSync(join(template, 'dist/deep'), { recursive: true })
  for (const name of ['file', 'file.bin', 'dist/deep/file'])
    writeFileSync(join(template, name), 'one\n')
  sh('git init -q -b main && git add . && git commit -q -m one && rm -r .git/hooks', template)
})

afterAll(() => rmSync(box, { recursive: true, force: true }))

const env = () => ({
  PATH: process.env.PATH,
  HOME: home,
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_AUTHOR_NAME: 'a',
  GIT_AUTHOR_EMAIL: 'a@b',
  GIT_COMMITTER_NAME: 'a',
  GIT_COMMITTER_EMAIL: 'a@b',
})

const sh = (script: string, cwd: string, input?: Buffer) =>
  spawnSync('sh', ['-c', script], { cwd, env: env(), ...(input ? { input } : {}) })

const mark = () => join(box, 'mark')
const isMarked = () => existsSync(mark())

const bytes = (path: string) =>
  Buffer.from(path.startsWith('/') ? path : `${work}/${path}`, 'latin1')

const parentOf = (path: string) => path.slice(0, Math.max(0, path.lastIndexOf('/')))

const below = (path: string, name: string) => (path === '' ? name : `${path}/${name}`)

function put(path: string, text: string): void {
  mkdirSync(bytes(parentOf(path)), { recursive: true })
  writeFileSync(bytes(path), Buffer.from(text, 'latin1'))
}

const append = (path: string, text: string) =>
  put(path, `${readFileSync(bytes(path), 'latin1')}${text}`)

function link(path: string, target: string): void {
  mkdirSync(bytes(parentOf(path)), { recursive: true })
  symlinkSync(Buffer.from(target, 'latin1'), bytes(path))
}

/** Copies the template or a part of it; to begin with by a name that is text, as others than Node cannot take another. */
function copy(what: '' | '.git', to: string): void {
  const step = join(box, 'step')
  cpSync(join(template, what), step, { recursive: true })
  mkdirSync(bytes(parentOf(to)), { recursive: true })
  renameSync(step, bytes(to))
}

const inConfig = (value: string) => `"${value.replace(/[\\"]/g, '\\$&').replaceAll('\n', '\\n')}"`

const inShell = (word: string) => `'${word.replaceAll("'", "'\\''")}'`

/** How the folder `from` may write the path of something in the workspace. */
const WRITTEN: Record<string, (from: string, path: string) => string> = {
  relative: (from, path) => `./${'../'.repeat(depthOf(from))}${path}`,
  'by way of the folder above': (from, path) =>
    `${'../'.repeat(depthOf(from) + 1)}${basename(work)}/${path}`,
  absolute: (_, path) => `${work}/${path}`,
  'absolute, by a detour': (_, path) => `/..//${box.slice(1)}/./home/../${basename(work)}//${path}`,
}

const depthOf = (path: string) => (path === '' ? 0 : path.split('/').length)

/** A name that is hard to write, to quote or to show. */
const NAMES = [
  'plain',
  'with space',
  'quo"te',
  "o'clock",
  'back\\slash',
  'new\nline',
  '\xff\xfe',
  'Gr\xc3\xbc\xc3\x9fe',
  '$HOME',
  'a;b&c',
  '~x',
  '\x1b[2J',
  '#;',
]

interface Repository {
  /** The folder with its files. */
  top: string
  /** Where its config is. */
  config: string
  /** Its own folder, which the worktrees of a repository do not share. */
  gitDir: string
  /** Where a person calls git; `top` unless that is a submodule. */
  entered: string
}

/** Makes a repository, by a way that git follows. */
const LAYOUTS: Record<string, (name: string) => Repository> = {
  'a .git folder': () => {
    copy('', 'top')
    return { top: 'top', config: 'top/.git/config', gitDir: 'top/.git', entered: 'top' }
  },
  'a .git file': (name) => {
    copy('', 'top')
    renameSync(bytes('top/.git'), bytes(`store-${name}`))
    put('top/.git', `gitdir: ${WRITTEN['by way of the folder above']?.('top', `store-${name}`)}\n`)
    const gitDir = `store-${name}`
    return { top: 'top', config: `${gitDir}/config`, gitDir, entered: 'top' }
  },
  'a .git link': (name) => {
    copy('', 'top')
    const gitDir = `node_modules/a/${name}/store`
    mkdirSync(bytes(parentOf(gitDir)), { recursive: true })
    renameSync(bytes('top/.git'), bytes(gitDir))
    link('top/.git', `../../${basename(work)}/${gitDir}`)
    return { top: 'top', config: `${gitDir}/config`, gitDir, entered: 'top' }
  },
  'two halves': (name) => {
    copy('', 'top')
    const common = `dist/x/${name}`
    for (const part of ['objects', 'refs', 'config']) {
      mkdirSync(bytes(common), { recursive: true })
      renameSync(bytes(`top/.git/${part}`), bytes(`${common}/${part}`))
    }
    put('top/.git/commondir', `../../${common}\n`)
    return { top: 'top', config: `${common}/config`, gitDir: 'top/.git', entered: 'top' }
  },
  'a worktree': (name) => {
    copy('', 'main')
    const gitDir = `main/.git/worktrees/${name}`
    for (const [file, text] of [
      ['HEAD', readFileSync(bytes('main/.git/HEAD'), 'latin1')],
      ['index', readFileSync(bytes('main/.git/index'), 'latin1')],
      ['commondir', '../..\n'],
      ['gitdir', `${work}/build/tree/.git\n`],
    ] as const) {
      put(`${gitDir}/${file}`, text)
    }
    copy('', 'build/tree')
    rmSync(bytes('build/tree/.git'), { recursive: true })
    put('build/tree/.git', `gitdir: ${work}/${gitDir}\n`)
    return { top: 'build/tree', config: 'main/.git/config', gitDir, entered: 'build/tree' }
  },
  'a submodule': (name) => {
    copy('', 'super')
    const top = `super/node_modules/a/${name}`
    copy('', top)
    const id = readFileSync(bytes(`${top}/.git/refs/heads/main`), 'latin1').trim()
    const path = top.slice('super/'.length)
    sh(
      'git update-index -z --index-info',
      join(work, 'super'),
      Buffer.from(`160000 ${id}\t${path}\0`, 'latin1'),
    )
    return { top, config: `${top}/.git/config`, gitDir: `${top}/.git`, entered: 'super' }
  },
}

/** Has git read the config that is returned, which is empty yet. `write`: how a path is written. */
type Route = (
  repository: Repository,
  name: string,
  write: (from: string, path: string) => string,
) => string

const ROUTES: Record<string, Route> = {
  'the config of the repository': ({ config }) => config,
  'an included config': ({ config }, name, write) => {
    const leaf = `conf/${name}/a`
    append(config, `[include]\n\tpath = ${inConfig(write(parentOf(config), leaf))}\n`)
    put(leaf, '')
    return leaf
  },
  'a config that is included on a branch, by an included one behind a link': (
    { config },
    name,
    write,
  ) => {
    append(config, `[include]\n\tpath = ${inConfig(write(parentOf(config), `by/${name}`))}\n`)
    link(`by/${name}`, '../far/away/one')
    put('far/away/one', '[includeIf "onbranch:main"]\n\tpath = two\n')
    put('by/two', '')
    return 'by/two'
  },
  'a config by the name of the user': ({ config }, name) => {
    const leaf = `conf/${name}`
    const { username, homedir } = userInfo()
    const path = `~${username}/${'../'.repeat(depthOf(homedir))}${work.slice(1)}/${leaf}`
    append(config, `[include]\n\tpath = ${inConfig(path)}\n`)
    put(leaf, '')
    return leaf
  },
  'a config by way of the folder that git is in': ({ config }, name) => {
    const leaf = `conf/${name}`
    append(config, `[include]\n\tpath = ${inConfig(`%(prefix)/../../../../..${work}/${leaf}`)}\n`)
    put(leaf, '')
    return leaf
  },
  'a config by way of the process': ({ config }, name) => {
    const leaf = `conf/${name}`
    append(config, `[include]\n\tpath = ${inConfig(`/dev/../proc/self/root${work}/${leaf}`)}\n`)
    put(leaf, '')
    return leaf
  },
  'the config of the worktree': ({ config, gitDir }) => {
    append(config, '[extensions]\n\tworktreeConfig = true\n')
    put(`${gitDir}/config.worktree`, '')
    return `${gitDir}/config.worktree`
  },
  "a config that the user's own includes": (_, name, write) => {
    const leaf = `conf/${name}`
    // The home folder lies beside the workspace.
    const path = write('', leaf).startsWith('/')
      ? `${work}/${leaf}`
      : `../${basename(work)}/${leaf}`
    put(join(home, '.gitconfig'), `[include]\n\tpath = ${inConfig(path)}\n`)
    put(leaf, '')
    return leaf
  },
  "the user's own config, by a link, and one beside the link": (_, name) => {
    put(`dots/${name}/gitconfig`, '[include]\n\tpath = .gitconfig.local\n')
    put(`dots/${name}/local`, '')
    link(join(home, '.gitconfig'), `${work}/dots/${name}/gitconfig`)
    link(join(home, '.gitconfig.local'), `${work}/dots/${name}/local`)
    return `dots/${name}/local`
  },
}

/** Prepares something harmless; what is returned has git run a command by a change of the file `at`. */
type Effect = (
  repository: Repository,
  config: string,
  name: string,
  write: (from: string, path: string) => string,
) => { at: string; plant: () => void }

const EFFECTS: Record<string, Effect> = {
  'a command for all files': (_, config) => ({
    at: config,
    plant: () => append(config, `[core]\n\tfsmonitor = ${inConfig(`touch ${mark()}; false #`)}\n`),
  }),
  'a command for the text of a file': ({ top }, config) => {
    put(`${top}/.gitattributes`, 'file diff=x\n')
    return {
      at: config,
      plant: () => append(config, `[diff "x"]\n\ttextconv = ${inConfig(`touch ${mark()}; cat`)}\n`),
    }
  },
  'a program for all files': ({ top }, config, name, write) => {
    const at = `tools/${name}/all`
    put(at, '#!/bin/sh\nfalse\n')
    chmodSync(bytes(at), 0o755)
    append(config, `[core]\n\tfsmonitor = ${inConfig(inShell(write(top, at)))}\n`)
    return { at, plant: () => put(at, `#!/bin/sh\ntouch ${mark()}; false\n`) }
  },
  'a script of the filter for a file': ({ top }, config, name, write) => {
    const at = `tools/${name}/clean`
    put(at, 'cat\n')
    put(`${top}/.gitattributes`, '*.bin filter=x\n')
    append(config, `[filter "x"]\n\tclean = ${inConfig(`sh ${inShell(write(top, at))} %f`)}\n`)
    return { at, plant: () => put(at, `touch ${mark()}; cat\n`) }
  },
  'a script in a script for the difference of a file': ({ top }, config, name, write) => {
    const at = `tools/${name}/diff`
    put(at, 'cat "$2"\n')
    put(`${top}/.gitattributes`, 'file diff=x\n')
    const command = `sh -c ${inShell(`sh ${inShell(write(top, at))} "$@"`)} -`
    append(config, `[diff "x"]\n\tcommand = ${inConfig(command)}\n`)
    return { at, plant: () => put(at, `touch ${mark()}\n`) }
  },
  'hooks elsewhere': ({ top }, config, name, write) => {
    const at = `node_modules/b/${name}/post-index-change`
    put(`node_modules/b/${name}/README`, '')
    append(config, `[core]\n\thooksPath = ${inConfig(write(top, parentOf(at)))}\n`)
    return { at, plant: () => plantHook(at) }
  },
  'attributes that choose a program': ({ top }, config) => {
    append(config, `[diff "x"]\n\ttextconv = ${inConfig(`touch ${mark()}; cat`)}\n`)
    const at = `${top}/dist/deep/.gitattributes`
    return { at, plant: () => put(at, 'file diff=x\n') }
  },
  'attributes of the repository that choose a program': ({ config: own }, config) => {
    append(config, `[diff "x"]\n\ttextconv = ${inConfig(`touch ${mark()}; cat`)}\n`)
    const at = below(parentOf(own), 'info/attributes')
    return { at, plant: () => put(at, 'file diff=x\n') }
  },
}

function plantHook(at: string): void {
  put(at, `#!/bin/sh\ntouch ${mark()}\n`)
  chmodSync(bytes(at), 0o755)
}

let touched = 0

/** What a person does there. */
function useGit({ top, entered }: Repository): void {
  rmSync(mark(), { force: true })
  for (const name of ['file', 'dist/deep/file']) put(`${top}/${name}`, `two${touched}\n`)
  utimesSync(bytes(`${top}/file.bin`), 1, ++touched)
  sh('git status; git --no-pager diff; git --no-pager log -p -1', join(work, entered))
}

const look = () => scan(work, { user: readUserConfig(env(), work) })

const oneOf = (of: object) => fc.constantFrom(...Object.keys(of))

let ran = 0

/** So that a judge who is asleep is noticed, whatever the others are. */
const RUN_BY_GIT: [string, string, string, string, string] = [
  'a .git folder',
  'the config of the repository',
  'a command for all files',
  'relative',
  'plain',
]

test('whatever leads git to what it runs, that is reported or said to be unread', () => {
  const numRuns = isFull ? 300 : 8
  fc.assert(
    fc.property(
      oneOf(LAYOUTS),
      oneOf(ROUTES),
      oneOf(EFFECTS),
      oneOf(WRITTEN),
      fc.constantFrom(...NAMES),
      (layout, route, effect, written, name) => {
        for (const folder of [work, home]) {
          rmSync(folder, { recursive: true, force: true })
          mkdirSync(folder)
        }
        const write = WRITTEN[written] ?? String
        const repository = LAYOUTS[layout]?.(name)
        if (!repository) return
        const config = ROUTES[route]?.(repository, name, write) ?? ''
        const planted = EFFECTS[effect]?.(repository, config, name, write)
        if (!planted) return
        useGit(repository)
        expect(isMarked()).toBe(false)
        const before = look()

        planted.plant()
        const report = reportOf(before.states, look())

        useGit(repository)
        if (!isMarked()) return
        ran++
        const named = report?.paths.filter(
          ({ path, kind }) => kind === 'unread' || path === shownName(planted.at),
        )
        expect(named ?? []).not.toEqual([])
      },
    ),
    { numRuns, examples: [RUN_BY_GIT] },
  )
  expect(ran).toBeGreaterThan(0)
}, 600_000)
