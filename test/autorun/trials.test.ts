import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import {
  allPlaces,
  type Place,
  placeOfFile,
  placeOfFolder,
} from '../../host/outer/autorun/places.ts'
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
const JS = 'require("fs").writeFileSync("ran", "")\n'
/** A test, and a config that names the setup that lies beside it. */
const JEST = {
  'x.test.js': 'test("a", () => {})\n',
  'jest.config.js': `module.exports = { setupFiles: require("fs").readdirSync(__dirname)
  .filter((name) => name.startsWith("jest.setup.")).map((name) => "<rootDir>/" + name) }\n`,
}
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
  {
    places: ['.bash_aliases'],
    text: TOUCH,
    needs: ['bash'],
    // As Debian sets it up.
    line: 'cp /etc/skel/.bashrc . || echo ". ~/.bash_aliases" > .bashrc; bash -i',
    isHome: true,
  },
  {
    places: ['.inputrc'],
    text: '"\\C-j": "touch ran\\C-m"\n',
    needs: ['bash', 'script'],
    line: 'printf "\\n\\n" | script -qc "bash --norc -i" /dev/null',
    isHome: true,
  },
  { places: ['.kshrc'], text: TOUCH, needs: ['ksh93'], line: 'echo exit | ksh93 -i', isHome: true },
  { places: ['.shrc'], text: TOUCH, needs: ['sh'], line: 'ENV=~/.shrc sh -i', isHome: true },
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
    places: ['fish/conf.d/a.fish'],
    text: TOUCH,
    needs: ['fish'],
    line: 'XDG_CONFIG_HOME=$PWD fish -c true',
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
    places: ['.githooks/pre-commit', '.git-hooks/pre-commit'],
    text: '#!/bin/sh\ntouch ran\n',
    needs: ['git'],
    line: 'git init -q; git config core.hooksPath .git*hooks; chmod +x .git*hooks/*; git commit --allow-empty -m x',
    others: { '~/.gitconfig': '[user]\n\tname = a\n\temail = a@b\n' },
  },
  {
    places: ['.hg/hgrc', '.hg/hgrc-not-shared'],
    text: '[hooks]\npre-status = touch ran\n',
    needs: ['hg'],
    line: 'hg init new; mv new/.hg/* .hg/; printf share-safe\\\\n >> .hg/requires; hg status',
  },
  {
    places: ['.hg/sharedpath'],
    text: 'source/.hg',
    needs: ['hg'],
    line:
      'hg init source; printf "[hooks]\\npre-status = touch ran\\n" > source/.hg/hgrc; hg init new; mv new/.hg/* .hg/;' +
      ' printf "shared\\nshare-safe\\n" >> .hg/requires; printf %s "$PWD/$(cat .hg/sharedpath)" > .hg/sharedpath; hg status',
  },
  {
    places: ['.hgrc'],
    text: '[hooks]\npre-status = touch ran\n',
    needs: ['hg'],
    line: 'hg init; hg status',
    isHome: true,
  },
  {
    places: ['.envrc'],
    text: TOUCH,
    needs: ['direnv'],
    line: 'direnv allow; bash -ic "eval \\"\\$(direnv hook bash)\\"; _direnv_hook"',
  },
  {
    places: ['.exrc', '.vimrc', '_vimrc'],
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
    places: ['.venv/bin/activate'],
    text: TOUCH,
    needs: ['sh'],
    line: '. .venv/bin/activate',
  },
  {
    places: ['.venv/pyvenv.cfg'],
    text: 'home = evil/bin\n',
    needs: ['python3'],
    // Its library is where the home is, and begins with this module.
    line:
      'lib=$(python3 -c "import sysconfig; print(sysconfig.get_path(\\"stdlib\\").split(\\"/\\")[-1])");' +
      ' mkdir -p .venv/bin evil/bin evil/lib/$lib/lib-dynload; touch evil/lib/$lib/os.py; mv encodings.py evil/lib/$lib/;' +
      ' ln -s $(python3 -c "import sys; print(sys._base_executable)") .venv/bin/python3; .venv/bin/python3 -c 1',
    others: { 'encodings.py': 'import posix\nposix.open("ran", posix.O_CREAT)\n' },
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
  {
    places: ['.Renviron'],
    text: 'R_PROFILE_USER=x.R\n',
    needs: ['R'],
    line: 'R --no-save -e 1',
    others: { 'x.R': 'file.create("ran")\n' },
  },
  {
    places: ['.RData'],
    text: '',
    needs: ['R'],
    line: 'rm .RData; R --vanilla -e ".First <- function() file.create(\'ran\'); save.image()"; R --no-save -e 1',
  },
  { places: ['.irbrc'], text: 'File.write("ran", "")\n', needs: ['irb'], line: 'echo exit | irb' },
  {
    places: ['Gemfile', 'gems.rb'],
    text: 'File.write("ran", "")\n',
    needs: ['bundle'],
    line: 'bundle list',
  },
  {
    places: ['a.gemspec'],
    text: 'File.write("ran", "")\nGem::Specification.new\n',
    needs: ['bundle'],
    line: 'bundle list',
    others: { Gemfile: 'gemspec\n' },
  },
  { places: ['.pryrc'], text: 'File.write("ran", "")\n', needs: ['pry'], line: 'echo exit | pry' },
  {
    places: ['.iex.exs'],
    text: 'File.write!("ran", "")\n',
    needs: ['iex'],
    line: 'echo "System.halt" | iex',
  },
  {
    places: ['mix.exs'],
    text: 'File.write!("ran", "")\n',
    needs: ['mix'],
    line: 'mix help',
  },
  {
    places: ['rebar.config.script'],
    text: 'file:write_file("ran", <<>>), CONFIG.\n',
    needs: ['rebar3'],
    line: 'rebar3 tree',
    others: { 'rebar.config': '' },
  },
  {
    places: ['.cargo/config.toml'],
    text: '[build]\nrustc = "./x"\n',
    needs: ['cargo'],
    line: 'chmod +x x; cargo check --offline',
    others: {
      x: '#!/bin/sh\ntouch ran\n',
      'Cargo.toml': '[package]\nname = "a"\nversion = "0.1.0"\n',
      'src/main.rs': 'fn main() {}\n',
    },
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
    places: ['.yarnrc'],
    text: 'yarn-path "./x.js"\n',
    needs: ['yarn'],
    line: 'yarn --version',
    others: { 'x.js': JS },
  },
  {
    places: ['.yarnrc.yml'],
    text: 'yarnPath: x.js\n',
    needs: ['yarn'],
    line: 'yarn --version',
    others: { 'x.js': JS },
  },
  {
    places: ['.yarn/releases/x.cjs'],
    text: JS,
    needs: ['yarn'],
    line: 'yarn --version',
    others: { '.yarnrc.yml': 'yarnPath: .yarn/releases/x.cjs\n' },
  },
  {
    places: ['.pnp.js'],
    text: JS,
    needs: ['yarn'],
    line: 'yarn node -e 1',
    others: { 'package.json': '{"name":"a"}' },
  },
  {
    places: ['oxlint.config.ts', 'oxlint.config.mts'],
    text: 'import { writeFileSync } from "node:fs"\nwriteFileSync("ran", "")\nexport default {}\n',
    needs: ['oxlint'],
    line: 'oxlint',
    others: { 'x.js': '' },
  },
  {
    places: ['.oxlintrc.json', '.oxlintrc.jsonc'],
    text: '{"jsPlugins":["./plugin.cjs"]}',
    needs: ['oxlint'],
    line: 'oxlint',
    others: {
      'x.js': '',
      'plugin.cjs': `${JS}module.exports = { meta: { name: "a" }, rules: {} }\n`,
    },
  },
  {
    places: ['js', 'cjs', 'ts', 'cts'].map((ending) => `jest.setup.${ending}`),
    text: JS,
    needs: ['jest'],
    line: 'jest',
    others: JEST,
  },
  {
    places: ['jest.setup.mjs', 'jest.setup.mts'],
    text: 'import { writeFileSync } from "node:fs"\nwriteFileSync("ran", "")\n',
    needs: ['jest'],
    line: 'NODE_OPTIONS=--experimental-vm-modules jest',
    others: JEST,
  },
  {
    places: ['.pi/extensions/x.ts'],
    text: `${JS}export default () => {}\n`,
    needs: ['pi'],
    line: 'pi --list-models',
  },
  {
    places: ['setup.py'],
    text: 'open("ran", "w").close()\n',
    needs: ['pip3'],
    line: 'pip3 install --no-index --no-build-isolation --dry-run .',
  },
]

/** They take a second or more to start, and are tried where there is time. */
const SLOW = [
  'pip3',
  'pytest',
  'iex',
  'mix',
  'rebar3',
  'cargo',
  'bundle',
  'R',
  'lldb',
  'emacs',
  'irb',
  'pry',
  'jest',
  'pi',
]

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
              // Without it, the cargo of rustup knows of no toolchain.
              RUSTUP_HOME: process.env.RUSTUP_HOME ?? join(homedir(), '.rustup'),
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
