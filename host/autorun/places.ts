import * as commandsIn from './commands-in.ts'
import type { Kind } from './kinds.ts'

/** A file from which a program on the user's machine runs commands without being told to by name. */
export interface Place {
  kind: Kind
  /** The program that runs it, and when; a sentence without a full stop. */
  why: string
  /** Where this is documented. */
  source: string
  /** What of the bytes can run something; undefined when nothing does. Absent: all of it. */
  commandsIn?: ((bytes: string) => string | undefined) | undefined
}

type Row = [
  kind: Kind,
  program: string,
  /** Goes on from "… runs it when ", or what else a kind does. */
  when: string,
  source: string,
  /**
   * Names, separated by spaces: of a file in any folder, of a folder of which every file counts (with a slash at the
   * end), the end of a path, all names with an ending (`*.x`). Braces stand for alternatives.
   */
  names: string,
  commandsIn?: (bytes: string) => string | undefined,
]

const VERBS: Partial<Record<Kind, string>> = {
  editor: 'loads',
  program: 'loads',
  package: 'loads',
  agent: 'takes instructions or commands from',
}

const HOME = 'it starts with this folder as its home'
const OPEN = 'the folder is opened'
const START = 'it starts in the folder'
const JS = '{js,mjs,cjs,ts,mts,cts}'
const GIT_DOCS = 'https://git-scm.com/docs'

/** One line a program. Where several rows fit a name, the first holds. */
// biome-ignore format: a table is read by its rows
const ROWS: readonly Row[] = [
  ['git', 'git', 'a file is compared, staged or checked out that it names', `${GIT_DOCS}/gitattributes`, '.gitattributes', commandsIn.attributes],
  ['git', 'git', 'submodules are updated', `${GIT_DOCS}/gitmodules`, '.gitmodules'],
  ['git', 'git', HOME, `${GIT_DOCS}/git-config`, '.gitconfig', commandsIn.gitConfig],
  ['git', 'Mercurial', 'any of its commands is called', 'https://www.mercurial-scm.org/doc/hgrc.5.html', '.hg/hgrc .hg/hgrc-not-shared .hg/sharedpath .hgrc'],
  ['git', 'Jujutsu', 'any of its commands is called', 'https://docs.jj-vcs.dev/latest/config/', '.jj/repo .jj/repo/config.toml .jj/config.toml'],
  ['git', 'lazygit', OPEN, 'https://github.com/jesseduffield/lazygit/blob/master/docs/Config.md', '.lazygit.yml'],

  ['hook', 'pre-commit', 'a commit is made', 'https://pre-commit.com/', '.pre-commit-config.{yaml,yml} .pre-commit-hooks.yaml'],
  ['hook', 'Lefthook', 'a commit is made', 'https://lefthook.dev/configuration/', '{,.}lefthook{,-local}.{yml,yaml,toml,json,jsonc} .config/lefthook{,-local}.{yml,yaml,toml,json,jsonc} .lefthook/ .lefthook-local/'],
  ['hook', 'Husky', 'a commit is made', 'https://typicode.github.io/husky/', '.husky/ .huskyrc .huskyrc.{js,json,yaml,yml} husky.config.js'],
  ['hook', 'Overcommit', 'a commit is made', 'https://github.com/sds/overcommit', '.overcommit.yml .local-overcommit.yml'],
  ['hook', 'lint-staged', 'a commit is made', 'https://github.com/lint-staged/lint-staged#configuration', `.lintstagedrc .lintstagedrc.{json,yaml,yml,js,mjs,cjs,ts} lint-staged.config.${JS}`],
  ['hook', 'commitlint', 'a commit is made', 'https://commitlint.js.org/reference/configuration.html', `commitlint.config.${JS} .commitlintrc .commitlintrc.{json,yaml,yml,js,cjs,mjs,ts}`],
  ['hook', 'simple-git-hooks', 'packages are installed', 'https://github.com/toplenboren/simple-git-hooks', '{,.}simple-git-hooks.{cjs,js,json}'],
  ['hook', 'CaptainHook', 'a commit is made', 'https://captainhook.info/', 'captainhook.json'],
  ['hook', 'GrumPHP', 'a commit is made', 'https://github.com/phpro/grumphp', 'grumphp.{yml,yml.dist,yaml}'],
  ['hook', 'git', 'a commit is made, where core.hooksPath names it', `${GIT_DOCS}/githooks`, '.githooks/ .git-hooks/'],

  ['enter', 'direnv', 'the folder is entered', 'https://direnv.net/man/direnv.1.html', '.envrc .direnv/'],
  ['enter', 'mise', 'the folder is entered', 'https://mise.jdx.dev/configuration.html', '{,.}mise.{toml,local.toml} {,.}mise.*.toml .mise/ mise/config.toml .config/mise.toml .config/mise/ .rtx.toml'],
  ['enter', 'asdf', 'a tool that it names is called', 'https://asdf-vm.com/manage/configuration.html', '.tool-versions .asdfrc'],
  ['enter', 'autoenv', 'the folder is entered', 'https://github.com/hyperupcall/autoenv', '.autoenv .autoenv.leave .autoenv.zsh .autoenv_leave.zsh .env.leave'],

  ['shell', 'bash', HOME, 'https://www.gnu.org/software/bash/manual/html_node/Bash-Startup-Files.html', '.bashrc .bash_profile .bash_login .bash_logout .bash_aliases .profile .inputrc'],
  ['shell', 'zsh', HOME, 'https://zsh.sourceforge.io/Doc/Release/Files.html', '.zshrc .zshenv .zprofile .zlogin .zlogout'],
  ['shell', 'fish', HOME, 'https://fishshell.com/docs/current/language.html#configuration-files', '.config/fish/ fish/conf.d/'],
  ['shell', 'tcsh', HOME, 'https://man7.org/linux/man-pages/man1/tcsh.1.html', '.cshrc .tcshrc .login .logout'],
  ['shell', 'ksh', HOME, 'https://man7.org/linux/man-pages/man1/ksh93.1.html', '.kshrc .mkshrc .shrc'],
  ['shell', 'a shell or VS Code', 'the Python environment is activated', 'https://docs.python.org/3/library/venv.html#how-venvs-work', '{.venv,venv}/bin/{activate,activate.csh,activate.fish,Activate.ps1,python,python3} {.venv,venv}/pyvenv.cfg'],

  ['editor', 'VS Code', OPEN, 'https://code.visualstudio.com/docs/debugtest/tasks#_run-behavior', '.vscode/ *.code-workspace'],
  ['editor', 'the dev container of an editor', OPEN, 'https://containers.dev/implementors/json_reference/#lifecycle-scripts', '.devcontainer/ .devcontainer.json'],
  ['editor', 'JetBrains', 'the project is opened, a file is saved or a run is started', 'https://www.jetbrains.com/help/idea/settings-tools-startup-tasks.html', '.idea/runConfigurations/ .run/ .idea/{watcherTasks,startup,tools,externalTools}.xml'],
  ['editor', 'Fleet', 'a run is started', 'https://www.jetbrains.com/help/fleet/run-configurations.html', '.fleet/'],
  ['editor', 'Zed', OPEN, 'https://zed.dev/docs/configuring-zed', '.zed/'],
  ['editor', 'Helix', OPEN, 'https://docs.helix-editor.com/configuration.html', '.helix/'],
  ['editor', 'Vim or Neovim', START, 'https://neovim.io/doc/user/options.html#\'exrc\'', '.exrc _exrc .vimrc _vimrc .gvimrc .nvimrc .nvim.lua .nvim/'],
  ['editor', 'Vim with localvimrc', 'a file below is opened', 'https://github.com/embear/vim-localvimrc', '.lvimrc'],
  ['editor', 'Vim with coc or ALE', OPEN, 'https://github.com/neoclide/coc.nvim/wiki/Using-the-configuration-file', '.vim/ coc-settings.json'],
  ['editor', 'Emacs', 'a file below is opened', 'https://www.gnu.org/software/emacs/manual/html_node/emacs/Directory-Variables.html', '.dir-locals.el .dir-locals-2.el'],
  ['editor', 'Sublime Text', OPEN, 'https://www.sublimetext.com/docs/projects.html', '*.sublime-project'],
  ['editor', 'Kate', OPEN, 'https://docs.kde.org/stable5/en/kate/kate/kate-application-plugin-projects.html', '.kateproject'],
  ['editor', 'Eclipse', OPEN, 'https://help.eclipse.org/latest/topic/org.eclipse.platform.doc.isv/guide/resAdv_builders.htm', '.project .externalToolBuilders/'],
  ['editor', 'the Lua language server', OPEN, 'https://luals.github.io/wiki/configuration/', '.luarc.json .luarc.jsonc'],
  ['editor', 'the Haskell language server', OPEN, 'https://github.com/haskell/hie-bios#readme', 'hie.yaml'],
  ['editor', 'rust-analyzer', OPEN, 'https://rust-analyzer.github.io/book/security.html', 'build.rs rust-analyzer.toml .rust-analyzer.toml'],
  ['editor', 'rust-analyzer', OPEN, 'https://rust-analyzer.github.io/book/security.html', 'Cargo.toml', commandsIn.cargo],
  ['editor', 'the ESLint of an editor', 'a file is opened', 'https://eslint.org/docs/latest/use/configure/configuration-files', `eslint.config.${JS} .eslintrc .eslintrc.{js,cjs,json,yaml,yml}`],
  ['editor', 'the Prettier of an editor', 'a file is saved', 'https://prettier.io/docs/configuration', `prettier.config.${JS} .prettierrc .prettierrc.{json,json5,yaml,yml,toml,js,mjs,cjs,ts,mts,cts}`],
  ['editor', 'the Stylelint of an editor', 'a file is opened', 'https://stylelint.io/user-guide/configure', `stylelint.config.${JS} .stylelintrc .stylelintrc.{json,yaml,yml,js,mjs,cjs}`],
  ['editor', 'the oxlint of an editor', 'a file is opened', 'https://oxc.rs/docs/guide/usage/linter/js-plugins.html', `.oxlintrc.json oxlint.config.${JS}`],
  ['editor', 'the language server of Deno', OPEN, 'https://docs.deno.com/runtime/reference/lint_plugins/', 'deno.{json,jsonc}'],
  ['editor', 'the language server of TypeScript', OPEN, 'https://www.typescriptlang.org/tsconfig/#plugins', '{ts,js}config.json tsconfig.*.json', commandsIn.tsPlugins],
  ['editor', 'the test view of an editor', OPEN, 'https://vitest.dev/guide/ide', `{vite,vitest}.config.${JS} vitest.workspace.{js,ts,json}`],
  ['editor', 'the test view of an editor', OPEN, 'https://jestjs.io/docs/configuration', `jest.config.${JS} jest.config.json jest.setup.${JS}`],
  ['editor', 'the test view of an editor', OPEN, 'https://playwright.dev/docs/getting-started-vscode', `playwright.config.${JS} playwright-ct.config.${JS}`],
  ['editor', 'a test runner', 'any test is run', 'https://mochajs.org/next/running/configuring/', `.mocharc.{js,cjs,json,jsonc,yaml,yml} ava.config.${JS} karma.conf.${JS} cypress.config.${JS} wdio.conf.${JS}`],
  ['editor', 'Babel, also in a linter', 'a file is compiled', 'https://babeljs.io/docs/config-files', `babel.config.${JS} babel.config.json .babelrc .babelrc.{js,cjs,mjs,json,cts}`],
  ['editor', 'the PostCSS or Tailwind support of an editor', OPEN, 'https://github.com/tailwindlabs/tailwindcss-intellisense#readme', `postcss.config.${JS} postcss.config.json .postcssrc .postcssrc.{json,yaml,yml,js,mjs,cjs,ts} tailwind.config.${JS}`],
  ['editor', 'the language server of a framework', OPEN, 'https://github.com/sveltejs/language-tools/tree/master/packages/svelte-vscode', `{svelte,astro,nuxt}.config.${JS}`],
  ['editor', 'the GraphQL support of an editor', OPEN, 'https://the-guild.dev/graphql/config/docs/user/usage', `graphql.config.{js,cjs,ts,json,yaml,yml,toml} .graphqlrc .graphqlrc.{js,cjs,ts,json,yaml,yml,toml}`],
  ['editor', 'Nx Console', OPEN, 'https://nx.dev/getting-started/editor-setup', 'nx.json'],
  ['editor', 'pytest, also in the test view of an editor', 'tests are collected', 'https://docs.pytest.org/en/stable/reference/fixtures.html#conftest-py-sharing-fixtures-across-multiple-files', 'conftest.py pytest.ini .pytest.ini'],
  ['editor', 'Pylint, also in an editor', 'a file is opened', 'https://pylint.readthedocs.io/en/stable/user_guide/configuration/all-options.html#init-hook', 'pylintrc .pylintrc pylintrc.toml .pylintrc.toml'],
  ['editor', 'mypy, also in an editor', 'a file is opened', 'https://mypy.readthedocs.io/en/stable/config_file.html#confval-plugins', 'mypy.ini .mypy.ini'],
  ['editor', 'Flake8, also in an editor', 'a file is opened', 'https://flake8.pycqa.org/en/latest/user/configuration.html#using-local-plugins', '.flake8'],
  ['editor', 'a Python tool, also in an editor', 'a file is opened', 'https://packaging.python.org/en/latest/guides/writing-pyproject-toml/', 'pyproject.toml setup.cfg tox.ini', commandsIn.pythonTools],
  ['editor', 'RuboCop or Solargraph, also in an editor', 'a file is opened', 'https://docs.rubocop.org/rubocop/extensions.html', '.rubocop.yml .solargraph.yml'],
  ['editor', 'Bundler, also for the Ruby LSP', OPEN, 'https://bundler.io/man/gemfile.5.html', 'Gemfile gems.rb .bundle/config'],
  ['editor', 'a PHP tool, also in an editor', 'a file is opened', 'https://phpstan.org/config-reference#bootstrap', '.php-cs-fixer{,.dist}.php phpstan.{neon,neon.dist,dist.neon} psalm.{xml,xml.dist} rector.php'],
  ['editor', 'Gradle, also in an editor', OPEN, 'https://docs.gradle.org/current/userguide/build_lifecycle.html', '{build,settings,init}.gradle{,.kts} gradle.properties buildSrc/'],
  ['editor', 'the wrapper of Gradle', 'the project is opened or built', 'https://docs.gradle.org/current/userguide/gradle_wrapper.html', 'gradlew gradlew.bat wrapper/gradle-wrapper.{jar,properties}'],
  ['editor', 'Maven, also in an editor', OPEN, 'https://maven.apache.org/configure.html', '.mvn/'],
  ['editor', 'Maven, also in an editor', OPEN, 'https://maven.apache.org/guides/mini/guide-using-extensions.html', 'pom.xml', commandsIn.pom],
  ['editor', 'the wrapper of Maven', 'the project is built', 'https://maven.apache.org/wrapper/', 'mvnw mvnw.cmd'],
  ['editor', 'sbt, also in an editor', OPEN, 'https://www.scala-sbt.org/1.x/docs/Basic-Def.html', '*.sbt .sbtopts .jvmopts project/build.properties'],
  ['editor', 'Mill, also in an editor', OPEN, 'https://mill-build.org/mill/cli/installation-ide.html', 'build.{sc,mill} .mill-jvm-opts'],
  ['editor', 'CMake, also in an editor', OPEN, 'https://github.com/microsoft/vscode-cmake-tools/blob/main/docs/cmake-settings.md', 'CMakeLists.txt CMake{,User}Presets.json'],
  ['editor', 'Bazel', 'any of its commands is called', 'https://bazel.build/run/bazelrc', '.bazelrc .bazeliskrc tools/bazel .buckconfig'],
  ['editor', 'MSBuild, also in an editor', OPEN, 'https://learn.microsoft.com/visualstudio/msbuild/customize-by-directory', 'Directory.Build.{props,targets,rsp} Directory.Packages.props Directory.Solution.{props,targets} MSBuild.rsp'],
  ['editor', 'MSBuild, also in an editor', OPEN, 'https://learn.microsoft.com/visualstudio/ide/reference/trust-settings', '*.csproj *.fsproj *.vbproj *.vcxproj *.targets', commandsIn.msbuild],
  ['editor', 'SourceKit', OPEN, 'https://docs.swift.org/package-manager/PackageDescription/PackageDescription.html', 'Package.swift'],
  ['editor', 'Mix, also in an editor', OPEN, 'https://hexdocs.pm/mix/Mix.html', 'mix.exs .formatter.exs'],
  ['editor', 'rebar3', 'any of its commands is called', 'https://rebar3.org/docs/configuration/configuration/', 'rebar.config rebar.config.script'],
  ['editor', 'Merlin', 'a file is opened', 'https://github.com/ocaml/merlin/wiki/Project-configuration', '.merlin'],
  ['editor', 'Ansible, also in an editor', OPEN, 'https://docs.ansible.com/ansible/latest/reference_appendices/config.html', 'ansible.cfg .ansible.cfg'],

  ['agent', 'another agent', 'it works in the folder', 'https://agents.md/', 'AGENTS.md AGENTS.override.md AGENT.md .agents/'],
  ['agent', 'Claude Code', START, 'https://code.claude.com/docs/en/settings', 'CLAUDE.md CLAUDE.local.md .claude/ .claude-plugin/ .mcp.json'],
  ['agent', 'Codex', START, 'https://developers.openai.com/codex/config-basic', '.codex/'],
  ['agent', 'Cursor', OPEN, 'https://cursor.com/docs/context/rules', '.cursor/ .cursorrules'],
  ['agent', 'Gemini CLI', START, 'https://geminicli.com/docs/reference/configuration/', 'GEMINI.md .gemini/'],
  ['agent', 'GitHub Copilot', 'it works in the folder', 'https://docs.github.com/copilot/how-tos/configure-custom-instructions', 'copilot-instructions.md .github/{instructions,prompts,agents,chatmodes,hooks,skills}/'],
  ['agent', 'another agent', 'it works in the folder', 'https://docs.windsurf.com/windsurf/cascade/memories', '.windsurf/ .windsurfrules'],
  ['agent', 'another agent', 'it works in the folder', 'https://docs.cline.bot/customization/cline-rules', '.clinerules .clinerules/ .roo/ .roorules .kilocode/'],
  ['agent', 'Aider', START, 'https://aider.chat/docs/config/aider_conf.html', '.aider.conf.yml'],
  ['agent', 'OpenCode', START, 'https://opencode.ai/docs/config/', 'opencode.{json,jsonc} .opencode/'],
  ['agent', 'another agent', 'it works in the folder', 'https://docs.continue.dev/customize/deep-dives/rules', '.continue/ .continuerules'],
  ['agent', 'another agent', 'it works in the folder', 'https://kiro.dev/docs/hooks/', '.kiro/ .amazonq/ .junie/ .trae/ .augment/ .qwen/ QWEN.md WARP.md .goosehints {,.}crush.json .factory/ .pi/'],

  ['program', 'a program', START, 'https://bun.com/docs/runtime/environment-variables', '.env .env.{local,development,production,test} .env.{development,production,test}.local'],
  ['program', 'Python', START, 'https://docs.python.org/3/library/site.html', 'sitecustomize.py usercustomize.py'],
  ['program', 'Node', 'a program of the project starts', 'https://yarnpkg.com/features/pnp', '.pnp.cjs .pnp.js .pnp.loader.mjs'],
  ['program', 'gdb', START, 'https://sourceware.org/gdb/current/onlinedocs/gdb.html/Init-File-in-the-Current-Directory.html', '.gdbinit .gdbearlyinit'],
  ['program', 'lldb', START, 'https://lldb.llvm.org/man/lldb.html#configuration-files', '.lldbinit'],
  ['program', 'pdb', START, 'https://docs.python.org/3/library/pdb.html#debugger-commands', '.pdbrc'],
  ['program', 'the debugger of Perl', START, 'https://perldoc.perl.org/perldebug#Debugger-Customization', '.perldb'],
  ['program', 'R', START, 'https://stat.ethz.ch/R-manual/R-devel/library/base/html/Startup.html', '.Rprofile .Renviron .RData renv/activate.R'],
  ['program', 'GHCi', START, 'https://downloads.haskell.org/ghc/latest/docs/users_guide/ghci.html#the-ghci-and-haskeline-files', '.ghci'],
  ['program', 'irb or pry', START, 'https://docs.ruby-lang.org/en/master/IRB.html', '.irbrc .pryrc'],
  ['program', 'IEx', START, 'https://hexdocs.pm/iex/IEx.html#module-the-iex-exs-file', '.iex.exs'],
  ['program', 'OCaml', START, 'https://ocaml.org/manual/5.3/toplevel.html', '.ocamlinit'],
  ['program', 'Octave or MATLAB', START, 'https://docs.octave.org/latest/Startup-Files.html', '.octaverc startup.m'],

  ['package', 'a package manager for JavaScript', 'packages are installed', 'https://docs.npmjs.com/cli/using-npm/scripts#life-cycle-scripts', 'package.json', commandsIn.packageJson],
  ['package', 'npm', 'any of its commands is called', 'https://docs.npmjs.com/cli/configuring-npm/npmrc', '.npmrc'],
  ['package', 'node-gyp', 'packages are installed', 'https://docs.npmjs.com/cli/using-npm/scripts#npm-install', 'binding.gyp'],
  ['package', 'Yarn', 'any of its commands is called', 'https://yarnpkg.com/configuration/yarnrc#yarnPath', '.yarnrc .yarnrc.yml .yarn/plugins/ .yarn/releases/ .yarn/sdks/'],
  ['package', 'pnpm', 'any of its commands is called', 'https://pnpm.io/pnpmfile', '.pnpmfile.{cjs,mjs} pnpm-workspace.yaml'],
  ['package', 'Bun', 'any of its commands is called', 'https://bun.com/docs/runtime/bunfig#preload', 'bunfig.toml .bunfig.toml'],
  ['package', 'pip', 'packages are installed', 'https://pip.pypa.io/en/stable/topics/configuration/', 'pip.conf setup.py'],
  ['package', 'Cargo', 'any of its commands is called', 'https://doc.rust-lang.org/cargo/reference/config.html', '.cargo/'],
  ['package', 'rustup', 'cargo or rustc is called', 'https://rust-lang.github.io/rustup/overrides.html#the-toolchain-file', 'rust-toolchain rust-toolchain.toml'],
  ['package', 'Composer', 'packages are installed', 'https://getcomposer.org/doc/articles/scripts.md', 'composer.json', commandsIn.composerJson],
  ['package', 'NuGet', 'packages are restored', 'https://learn.microsoft.com/nuget/reference/nuget-config-file', '{nuget,NuGet,Nuget}.{config,Config}'],

  ['pushed', 'GitHub, Gitea or Forgejo', 'it is pushed', 'https://docs.github.com/actions/reference/workflows-and-actions/workflow-syntax', '{.github,.gitea,.forgejo}/workflows/ .github/actions/ action.{yml,yaml}'],
  ['pushed', 'GitLab', 'it is pushed', 'https://docs.gitlab.com/ci/yaml/', '.gitlab-ci.yml .gitlab/ci/'],
  ['pushed', 'a service', 'it is pushed', 'https://circleci.com/docs/reference/configuration-reference/', '.circleci/ .travis.yml .woodpecker.{yml,yaml} .woodpecker/ .drone.yml .buildkite/ .cirrus.yml .semaphore/ {,.}appveyor.yml azure-pipelines.{yml,yaml} .azure-pipelines/ bitbucket-pipelines.yml cloudbuild.{yaml,yml} buildspec.{yml,yaml} .teamcity/ .tekton/ netlify.toml vercel.json Jenkinsfile'],
]

const repository = (why: string, source: string, only?: Place['commandsIn']): Place => ({
  kind: 'git',
  why,
  source: `${GIT_DOCS}/${source}`,
  commandsIn: only,
})

/** A config of git, whatever it is called. */
export const CONFIG = repository(
  'git runs commands from it, also for `git status`',
  'git-config',
  commandsIn.gitConfig,
)
export const ATTRIBUTES = repository(
  'git runs a program of its config when a file is compared that it names',
  'gitattributes',
  commandsIn.attributes,
)
/** A program that a config names, and that lies in the workspace. */
export const PROGRAM = repository('git runs it, as a config of git names it', 'git-config')
export const REPOSITORY_ELSEWHERE = repository(
  'it leads git to a repository, from whose config commands are run',
  'gitrepository-layout',
)
export const HOOK: Place = {
  kind: 'hook',
  why: 'git runs it at a commit, merge, checkout or push',
  source: `${GIT_DOCS}/githooks`,
}
export const WAY_OUT: Place = {
  kind: 'link',
  why: 'it is a link out of the workspace: what reads or writes it here reads or writes there',
  source: 'https://man7.org/linux/man-pages/man7/symlink.7.html',
}

/** In a repository of git, beside its hooks. */
export const REPOSITORY_FILES: Readonly<Record<string, Place>> = {
  commondir: REPOSITORY_ELSEWHERE,
  'info/attributes': ATTRIBUTES,
  'rebase-merge/git-rebase-todo': repository(
    'git runs its exec lines at `git rebase --continue`',
    'git-rebase',
    commandsIn.rebaseTodo,
  ),
  'lazygit.yml': {
    kind: 'git',
    why: 'lazygit runs it when the folder is opened',
    source: 'https://github.com/jesseduffield/lazygit/blob/master/docs/Config.md',
  },
}

/** What the file system takes for the same name. A function, as it is needed above. */
export function fold(name: string): string {
  return process.platform === 'linux' ? name : name.toLowerCase()
}

/** By name, by the end of a path (one slash or two), by ending. */
const files = new Map<string, Place>()
const folders = new Map<string, Place>()
const endings: [start: string, end: string, place: Place][] = []

for (const [kind, program, when, source, names, only] of ROWS) {
  const place: Place = {
    kind,
    why: `${program} ${VERBS[kind] ?? 'runs'} it when ${when}`,
    source,
    commandsIn: only,
  }
  for (const name of names.split(' ').flatMap(alternatives)) {
    const [start = '', end] = name.split('*')
    if (end !== undefined) endings.push([fold(start), fold(end), place])
    else if (name.endsWith('/')) addTo(folders, name.slice(0, -1), place)
    else addTo(files, name, place)
  }
}

function addTo(places: Map<string, Place>, name: string, place: Place): void {
  if (!places.has(fold(name))) places.set(fold(name), place)
}

/** What braces stand for: of `a{b,c}` it is `ab` and `ac`. */
function alternatives(text: string): string[] {
  const [, before, among, after] = /^([^{]*)\{([^}]*)\}(.*)$/.exec(text) ?? []
  if (among === undefined) return [text]
  return among.split(',').flatMap((one) => alternatives(`${before}${one}${after}`))
}

/** The place that the file of that name in the folder `path` is. */
export function placeOfFile(fileName: string, path: string): Place | undefined {
  const name = fold(fileName)
  const place = files.get(name) ?? atEnd(files, name, fold(path))
  if (place) return place
  for (const [start, end, place] of endings) if (isBetween(name, start, end)) return place
  return undefined
}

/** The place that the folder `name` in the folder `path` is, of which every file counts. */
export function placeOfFolder(name: string, path: string): Place | undefined {
  return folders.get(fold(name)) ?? atEnd(folders, fold(name), fold(path))
}

/** Whether the folder `name` in the folder `path` is on the way to a file that is a place by the end of its path. */
export function leadsToPlace(name: string, path: string): boolean {
  return ways.has(fold(`${path.slice(path.lastIndexOf('/') + 1)}/${name}`))
}

const ways = new Set([...files.keys()].filter((name) => name.split('/').length > 2).map(parentOf))

/** Every row once, for tests and documents. */
export const allPlaces: readonly Place[] = [
  ...new Set([...files.values(), ...folders.values(), ...endings.map(([, , place]) => place)]),
]

/** Of the names that are ends of paths, the last parts: most names are none. */
const lastParts = new Set(
  [...files.keys(), ...folders.keys()]
    .filter((name) => name.includes('/'))
    .map((name) => name.slice(name.lastIndexOf('/') + 1)),
)

function atEnd(places: ReadonlyMap<string, Place>, name: string, path: string): Place | undefined {
  if (!lastParts.has(name)) return undefined
  const parent = path.slice(path.lastIndexOf('/') + 1)
  const short = places.get(`${parent}/${name}`)
  if (short || parent.length === path.length) return short
  const above = path.slice(0, path.length - parent.length - 1)
  return places.get(`${above.slice(above.lastIndexOf('/') + 1)}/${parent}/${name}`)
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/'))
}

function isBetween(name: string, start: string, end: string): boolean {
  return name.length > start.length + end.length && name.startsWith(start) && name.endsWith(end)
}
