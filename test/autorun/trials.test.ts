import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { allPlaces, type Place, placeOfFile, placeOfFolder } from '../../host/autorun/places.ts'
import { isFull } from '../full-size.ts'

// The programs themselves say what they run.

interface Trial {
  /** The file that is a place; of these several do the same. */
  places: readonly string[]
  /** What stands in it, to leave the file `ran` in its folder. */
  text: string
  /** Programs that have to be there. */
  needs: readonly string[]
  /** A line for a shell, in the folder. */
  line: string
  /** What else is in the folder, or in the home folder beside it (`~/…`). */
  others?: Readonly<Record<string, string>>
  /** Whether it is the folder itself that is the home. */
  isHome?: boolean
}

const TOUCH = 'touch ran\n'
const MAKE = ['Makefile', 'makefile', 'GNUmakefile']

const trials: readonly Trial[] = [
  { places: ['.bashrc'], text: TOUCH, needs: ['bash'], line: 'bash -i', isHome: true },
  {
    places: ['.bash_profile', '.bash_login', '.profile'],
    text: TOUCH,
    needs: ['bash'],
    line: 'bash -l',
    isHome: true,
  },
  { places: ['.zshenv'], text: TOUCH, needs: ['zsh'], line: 'zsh -c true', isHome: true },
  { places: ['.zshrc'], text: TOUCH, needs: ['zsh'], line: 'zsh -i', isHome: true },
  { places: ['.zprofile', '.zlogin'], text: TOUCH, needs: ['zsh'], line: 'zsh -l', isHome: true },
  { places: ['.cshrc', '.tcshrc'], text: TOUCH, needs: ['tcsh'], line: 'tcsh', isHome: true },
  { places: ['.login'], text: TOUCH, needs: ['tcsh'], line: 'tcsh -l', isHome: true },
  { places: ['.mkshrc'], text: TOUCH, needs: ['mksh'], line: 'mksh -i', isHome: true },
  {
    places: ['.config/fish/config.fish', '.config/fish/conf.d/a.fish'],
    text: TOUCH,
    needs: ['fish'],
    line: 'fish -c true',
    isHome: true,
  },
  {
    places: ['.gitconfig'],
    text: '[core]\n\tfsmonitor = "touch ran; false #"\n',
    needs: ['git'],
    line: 'git init -q; git status',
    isHome: true,
  },
  {
    places: ['.gitattributes'],
    text: 'file diff=x\n',
    needs: ['git'],
    line: 'git init -q; echo a > file; git add .; echo b > file; git --no-pager diff',
    others: { '~/.gitconfig': '[diff "x"]\n\ttextconv = "touch ran; cat"\n' },
  },
  {
    places: ['.githooks/pre-commit'],
    text: '#!/bin/sh\ntouch ran\n',
    needs: ['git'],
    line: 'git init -q; chmod +x .githooks/*; git commit --allow-empty -m x',
    others: {
      '~/.gitconfig': '[core]\n\thooksPath = .githooks\n[user]\n\tname = a\n\temail = a@b\n',
    },
  },
  {
    places: ['.hg/hgrc', '.hg/hgrc-not-shared'],
    text: '[hooks]\npre-status = touch ran\n',
    needs: ['hg'],
    line: 'hg init new; mv new/.hg/* .hg/; printf share-safe\\\\n >> .hg/requires; hg status',
  },
  {
    places: ['.envrc'],
    text: TOUCH,
    needs: ['direnv'],
    line: 'direnv allow; bash -ic "eval \\"\\$(direnv hook bash)\\"; _direnv_hook"',
  },
  {
    places: ['.exrc', '.vimrc'],
    text: 'call writefile([], "ran")\n',
    needs: ['vim'],
    line: 'vim -es -u ~/.vimrc -c "set exrc" -c q; vim -N -c q < /dev/null',
    others: { '~/.vimrc': 'set exrc\n' },
  },
  {
    places: ['.nvimrc'],
    text: 'call writefile([], "ran")\n',
    needs: ['nvim'],
    line: 'nvim --headless -c q',
    others: { '~/.config/nvim/init.vim': 'set exrc\n' },
  },
  {
    places: ['.dir-locals.el', '.dir-locals-2.el'],
    text: '((nil . ((eval . (write-region "" nil "ran")))))\n',
    needs: ['emacs'],
    line: 'emacs -Q --batch --eval "(setq enable-local-variables :all enable-local-eval t)" --visit file',
    others: { file: '' },
  },
  {
    places: ['.gdbinit'],
    text: 'shell touch ran\n',
    needs: ['gdb'],
    line: 'gdb -batch',
    others: { '~/.gdbinit': 'set auto-load safe-path /\n' },
  },
  {
    places: ['.gdbearlyinit'],
    text: 'shell touch ran\n',
    needs: ['gdb'],
    line: 'gdb -batch',
    isHome: true,
  },
  {
    places: ['.lldbinit'],
    text: 'platform shell touch ran\n',
    needs: ['lldb'],
    line: 'lldb --batch',
    others: { '~/.lldbinit': 'settings set target.load-cwd-lldbinit true\n' },
  },
  {
    places: ['.pdbrc'],
    text: 'open("ran", "w").close()\n',
    needs: ['python3'],
    line: 'echo pass > a.py; echo q | python3 -m pdb a.py',
  },
  {
    places: ['sitecustomize.py', 'usercustomize.py'],
    text: 'open("ran", "w").close()\n',
    needs: ['python3'],
    line: 'PYTHONPATH=. python3 -c 1',
  },
  {
    places: ['conftest.py'],
    text: 'open("ran", "w").close()\n',
    needs: ['pytest'],
    line: 'pytest --collect-only',
  },
  {
    places: ['pytest.ini', '.pytest.ini'],
    text: '[pytest]\naddopts = -p evil\n',
    needs: ['pytest'],
    line: 'python3 -m pytest --collect-only',
    others: { 'evil.py': 'open("ran", "w").close()\n' },
  },
  { places: ['.perldb'], text: 'system "touch ran";\n', needs: ['perl'], line: 'perl -d -e 1' },
  { places: MAKE, text: 'X := $(shell touch ran)\n', needs: ['make'], line: 'make -n' },
  {
    places: ['.Rprofile'],
    text: 'file.create("ran")\n',
    needs: ['R'],
    line: 'R --no-save --no-environ -e 1',
  },
  { places: ['.irbrc'], text: 'File.write("ran", "")\n', needs: ['irb'], line: 'echo exit | irb' },
  { places: ['.pryrc'], text: 'File.write("ran", "")\n', needs: ['pry'], line: 'echo exit | pry' },
  {
    places: ['.iex.exs'],
    text: 'File.write!("ran", "")\n',
    needs: ['iex'],
    line: 'echo "System.halt" | iex',
  },
  {
    places: ['.ocamlinit'],
    text: 'let () = close_out (open_out "ran");;\n',
    needs: ['ocaml'],
    line: 'echo "exit 0;;" | ocaml',
  },
  {
    places: ['package.json'],
    text: '{"name":"a","version":"1.0.0","scripts":{"prepare":"touch ran"}}',
    needs: ['npm'],
    line: 'npm install --offline --no-audit --no-fund',
  },
  {
    places: ['.npmrc'],
    text: 'script-shell=./shell\n',
    needs: ['npm'],
    line: 'chmod +x shell; npm exec --offline -c true',
    others: { shell: '#!/bin/sh\ntouch ran\n', 'package.json': '{"name":"a","version":"1.0.0"}' },
  },
  {
    places: ['setup.py'],
    text: 'open("ran", "w").close()\n',
    needs: ['pip3'],
    line: 'pip3 install --no-index --no-build-isolation --dry-run .',
  },
]

/** They take a second or more to start, and are tried where there is time. */
const SLOW = ['pip3', 'pytest', 'iex', 'R', 'lldb', 'emacs', 'irb', 'pry']

const missing = (programs: readonly string[]) =>
  programs.filter((name) => spawnSync('sh', ['-c', `command -v ${name}`]).status !== 0)

let box: string
let folder: string
let home: string

beforeEach(() => {
  box = realpathSync(mkdtempSync(join(tmpdir(), 'codexbox-trials-')))
  folder = join(box, 'folder')
  home = join(box, 'home')
  for (const each of [folder, home]) mkdirSync(each)
})

afterEach(() => rmSync(box, { recursive: true, force: true }))

function put(path: string, text: string): void {
  const file = path.startsWith('~/') ? join(home, path.slice(2)) : join(folder, path)
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, text)
}

describe('a program that is tried', () => {
  for (const { places, text, needs, line, others = {}, isHome } of trials) {
    const isLeftOut = !isFull && needs.some((name) => SLOW.includes(name))
    const lacks = isLeftOut ? [] : missing(needs)
    const reason = isLeftOut ? 'takes long' : `no ${lacks.join(', ')} here`
    const isTried = !isLeftOut && lacks.length === 0
    const why = isTried ? '' : ` (not tried: ${reason})`
    for (const place of places) {
      test.skipIf(!isTried)(`runs ${place}: ${line}${why}`, () => {
        for (const [path, what] of Object.entries(others)) put(path, what)
        const run = () =>
          spawnSync('sh', ['-c', line], {
            cwd: folder,
            env: {
              PATH: process.env.PATH,
              HOME: isHome ? folder : home,
              TERM: 'dumb',
              GIT_CONFIG_NOSYSTEM: '1',
            },
            encoding: 'utf8',
            timeout: 20_000,
          })

        put(place, text)
        const { stdout, stderr } = run()

        expect(existsSync(join(folder, 'ran')), `${stdout}\n${stderr}`).toBe(true)
      })
    }
  }
})

/** The place that a file is, perhaps by a folder above it. */
function placeOf(file: string): Place | undefined {
  const names = file.split('/')
  const folders = names
    .slice(0, -1)
    .map((name, i) => placeOfFolder(name, names.slice(0, i).join('/')))
  return folders.find(Boolean) ?? placeOfFile(names.at(-1) ?? '', names.slice(0, -1).join('/'))
}

test('each row that is said to be shown by a trial is tried, and no other', () => {
  const tried = new Set(trials.flatMap(({ places }) => places.map(placeOf)))

  const said = new Set(allPlaces.filter(({ shownBy }) => shownBy === 'trial'))

  expect([...tried].filter((place) => place?.shownBy !== 'trial')).toEqual([])
  expect([...said].filter((place) => !tried.has(place))).toEqual([])
})
