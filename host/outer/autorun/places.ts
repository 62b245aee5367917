import * as commandsIn from './commands-in.ts'
import { fold } from './fold.ts'
import type { Kind } from './kinds.ts'

/**
 * The evidence for a row: tests run the program (`trial`), its manual says so (`manual`), or neither yet.
 */
export type ShownBy = 'trial' | 'manual' | 'neither'

/** A file from which a program on the user's machine runs commands without being told to by name. */
export interface Place {
  kind: Kind
  /** The program that runs it, and when; a sentence without a full stop. */
  why: string
  shownBy: ShownBy
  /** Where this is documented. */
  source: string
  /** The part of the content that can run commands; undefined when there is none. Absent: all of it. */
  commandsIn?: ((bytes: string) => string | undefined) | undefined
}

type Row = [
  kind: Kind,
  program: string,
  /** Continues the sentence "… runs it when "; the verb depends on the kind. */
  when: string,
  shownBy: ShownBy,
  source: string,
  /**
   * Patterns, separated by spaces: a file name in any folder; a folder of which every file counts (with a trailing
   * slash); the end of a path; a wildcard (`*.x`). Braces are alternatives.
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
const GITHUB = 'https://github.com'

/** The first matching row wins. */
// biome-ignore format: a table is read by its rows
const ROWS: readonly Row[] = [
  ['git', 'git', 'a file is compared, staged or checked out that it names', 'trial', `${GIT_DOCS}/gitattributes`, '.gitattributes', commandsIn.attributes],
  ['git', 'git', HOME, 'trial', `${GIT_DOCS}/git-config`, '.gitconfig', commandsIn.gitConfig],
  ['git', 'Mercurial', 'any of its commands is called', 'trial', 'https://www.mercurial-scm.org/doc/hgrc.5.html', '.hg/hgrc .hg/hgrc-not-shared .hg/sharedpath'],
  ['git', 'Mercurial', HOME, 'trial', 'https://www.mercurial-scm.org/doc/hgrc.5.html', '.hgrc'],
  ['git', 'an older Jujutsu', 'any of its commands is called', 'manual', `${GITHUB}/jj-vcs/jj/blob/main/docs/design/secure-config.md`, '.jj/repo/config.toml'],
  ['git', 'an older Jujutsu', 'any of its commands is called', 'manual', `${GITHUB}/jj-vcs/jj/blob/9d905d5432869c7aa9539e6e5c7fece5842bed37/lib/src/workspace.rs`, '.jj/repo'],
  ['git', 'lazygit', OPEN, 'manual', `${GITHUB}/jesseduffield/lazygit/blob/master/docs/Config.md`, '.lazygit.yml'],

  ['hook', 'pre-commit', 'a commit is made', 'manual', 'https://pre-commit.com/', '.pre-commit-config.yaml .pre-commit-hooks.yaml'],
  ['hook', 'Lefthook', 'a commit is made', 'manual', 'https://lefthook.dev/configuration/', '{,.}lefthook{,-local}.{yml,yaml,toml,json,jsonc} .config/lefthook{,-local}.{yml,yaml,toml,json,jsonc} .lefthook/ .lefthook-local/'],
  ['hook', 'Husky', 'a commit is made', 'manual', 'https://typicode.github.io/husky/', '.husky/'],
  ['hook', 'Husky 4', 'a commit is made', 'manual', 'https://www.npmjs.com/package/husky/v/4.3.8', '.huskyrc .huskyrc.{js,json,yaml,yml} husky.config.js'],
  ['hook', 'Overcommit', 'a commit is made', 'manual', `${GITHUB}/sds/overcommit`, '.overcommit.yml .local-overcommit.yml'],
  ['hook', 'lint-staged', 'a commit is made', 'manual', `${GITHUB}/lint-staged/lint-staged#configuration`, `.lintstagedrc .lintstagedrc.{json,yaml,yml,js,mjs,cjs,ts,mts,cts} lint-staged.config.${JS}`],
  ['hook', 'commitlint', 'a commit is made', 'manual', 'https://commitlint.js.org/reference/configuration.html', `commitlint.config.${JS} .commitlintrc .commitlintrc.{json,yaml,yml,js,cjs,mjs,ts,cts,mts}`],
  ['hook', 'simple-git-hooks', 'its hooks are set up', 'manual', `${GITHUB}/toplenboren/simple-git-hooks`, '{,.}simple-git-hooks.{cjs,js,mjs,json}'],
  ['hook', 'CaptainHook', 'a commit is made', 'manual', `${GITHUB}/captainhookphp/captainhook`, 'captainhook.json'],
  ['hook', 'GrumPHP', 'a commit is made', 'manual', `${GITHUB}/phpro/grumphp`, 'grumphp.{yml,yml.dist,dist.yml}'],
  ['hook', 'git', 'a commit is made, where core.hooksPath names it', 'trial', `${GIT_DOCS}/githooks`, '.githooks/ .git-hooks/'],

  ['enter', 'direnv', 'the folder is entered', 'trial', 'https://direnv.net/man/direnv.1.html', '.envrc'],
  ['enter', 'direnv', 'the folder is entered and the .envrc names it', 'manual', 'https://direnv.net/man/direnv-stdlib.1.html', '.envrc.{private,local}'],
  ['enter', 'direnv with Nix', 'the folder is entered', 'manual', `${GITHUB}/nix-community/nix-direnv#tracked-files`, 'flake.{nix,lock} {shell,default}.nix devshell.toml'],
  ['enter', 'direnv with Nix', 'the folder is entered', 'manual', `${GITHUB}/nix-community/nix-direnv/blob/master/direnvrc`, '.direnv/'],
  ['enter', 'mise', 'the folder is entered', 'manual', 'https://mise.jdx.dev/configuration.html', '{,.}mise.{toml,local.toml} {,.}mise.*.toml .mise/ mise/config.toml .config/mise.toml .config/mise/ .rtx.toml'],
  ['enter', 'asdf', 'a tool that it names is called', 'manual', 'https://asdf-vm.com/manage/configuration.html', '.tool-versions'],
  ['enter', 'asdf', HOME, 'manual', 'https://asdf-vm.com/manage/configuration.html', '.asdfrc'],
  ['enter', 'autoenv', 'the folder is left', 'manual', `${GITHUB}/hyperupcall/autoenv`, '.env.leave'],
  ['enter', 'zsh-autoenv', 'the folder is entered or left', 'manual', `${GITHUB}/Tarrasch/zsh-autoenv`, '.autoenv.zsh .autoenv_leave.zsh'],

  ['shell', 'bash', HOME, 'trial', 'https://www.gnu.org/software/bash/manual/html_node/Bash-Startup-Files.html', '.bashrc .bash_profile .bash_login .profile .bash_logout'],
  ['shell', 'bash', HOME, 'trial', 'https://www.gnu.org/software/bash/manual/html_node/Readline-Init-File.html', '.bash_aliases .inputrc'],
  ['shell', 'zsh', HOME, 'trial', 'https://zsh.sourceforge.io/Doc/Release/Files.html', '.zshrc .zshenv .zprofile .zlogin .zlogout'],
  ['shell', 'fish', HOME, 'trial', 'https://fishshell.com/docs/current/language.html#configuration-files', '.config/fish/'],
  ['shell', 'fish', 'it starts with this folder as that of configs', 'trial', 'https://fishshell.com/docs/current/language.html#configuration-files', 'fish/conf.d/'],
  ['shell', 'tcsh', HOME, 'trial', 'https://man7.org/linux/man-pages/man1/tcsh.1.html', '.cshrc .tcshrc .login .logout'],
  ['shell', 'mksh', HOME, 'trial', 'https://manpages.debian.org/mksh', '.mkshrc'],
  ['shell', 'ksh', HOME, 'trial', 'https://man7.org/linux/man-pages/man1/ksh93.1.html', '.kshrc'],
  ['shell', 'a shell', `${HOME} and ENV names it`, 'trial', 'https://man7.org/linux/man-pages/man1/dash.1.html', '.shrc'],
  ['shell', 'a shell, VS Code or Python', 'the Python environment is activated or its Python starts', 'trial', 'https://docs.python.org/3/library/venv.html#how-venvs-work', '{.venv,venv}/bin/{activate,activate.csh,activate.fish,Activate.ps1,python,python3} bin/{activate,activate.csh,activate.fish,Activate.ps1} pyvenv.cfg'],

  ['editor', 'VS Code', OPEN, 'manual', 'https://code.visualstudio.com/docs/reference/tasks-appendix', '.vscode/ *.code-workspace'],
  ['editor', 'the dev container of an editor', OPEN, 'manual', 'https://containers.dev/implementors/json_reference/#lifecycle-scripts', '.devcontainer/ .devcontainer.json'],
  ['editor', 'JetBrains', 'the project is opened, a file is saved or a run is started', 'manual', 'https://www.jetbrains.com/help/idea/project-security.html', '.idea/runConfigurations/ .run/ .idea/{watcherTasks,startup,tools,externalTools}.xml'],
  ['editor', 'Zed', OPEN, 'manual', 'https://zed.dev/docs/worktree-trust', '.zed/'],
  ['editor', 'Helix', START, 'manual', 'https://docs.helix-editor.com/configuration.html', '.helix/'],
  ['editor', 'Vim', START, 'trial', 'https://vimhelp.org/options.txt.html#%27exrc%27', '.exrc .vimrc _vimrc'],
  ['editor', 'Vim', START, 'manual', 'https://vimhelp.org/starting.txt.html#initialization', '_exrc'],
  ['editor', 'Vim', START, 'manual', 'https://vimhelp.org/gui.txt.html#gui-init', '.gvimrc _gvimrc'],
  ['editor', 'Neovim', START, 'trial', 'https://neovim.io/doc/user/options.html#\'exrc\'', '.nvimrc'],
  ['editor', 'Neovim', START, 'manual', 'https://neovim.io/doc/user/options.html#\'exrc\'', '.nvim.lua'],
  ['editor', 'Vim with localvimrc', 'a file below is opened', 'manual', `${GITHUB}/embear/vim-localvimrc`, '.lvimrc'],
  ['editor', 'Vim with coc', OPEN, 'manual', `${GITHUB}/neoclide/coc.nvim/blob/master/doc/coc.txt`, '.vim/coc-settings.json'],
  ['editor', 'Vim with YouCompleteMe', 'a file below is opened', 'manual', `${GITHUB}/ycm-core/YouCompleteMe`, '.ycm_extra_conf.py'],
  ['editor', 'Emacs', 'a file below is opened', 'trial', 'https://www.gnu.org/software/emacs/manual/html_node/emacs/Directory-Variables.html', '.dir-locals.el .dir-locals-2.el'],
  ['editor', 'Sublime Text', 'the project is built', 'manual', 'https://www.sublimetext.com/docs/projects.html', '*.sublime-project'],
  ['editor', 'Kate', OPEN, 'manual', 'https://docs.kde.org/stable5/en/kate/kate/kate-application-plugin-projects.html', '.kateproject .kateproject.{local,build}'],
  ['editor', 'Eclipse, or the Java support of an editor', OPEN, 'manual', 'https://wiki.eclipse.org/FAQ_Where_are_project_build_specifications_stored%3F', '.project'],
  ['editor', 'Eclipse', 'the project is built', 'manual', `${GITHUB}/eclipse-platform/eclipse.platform/blob/2fa8a8026334c9104e825bf5259f12ee8baebf26/debug/org.eclipse.core.externaltools/src/org/eclipse/core/externaltools/internal/model/BuilderCoreUtils.java`, '.externalToolBuilders/'],
  ['editor', 'Eclipse, or the Java support of an editor', 'the project is built', 'manual', `${GITHUB}/eclipse-jdt/eclipse.jdt.core/blob/34e72137d1fa189f6d85f41ba876161baeafa252/org.eclipse.jdt.apt.core/src/org/eclipse/jdt/apt/core/internal/AnnotationProcessorFactoryLoader.java`, '.factorypath'],
  ['editor', 'an editor with the Build Server Protocol', OPEN, 'manual', 'https://build-server-protocol.github.io/docs/overview/server-discovery', '.bsp/'],
  ['editor', 'the Lua language server', OPEN, 'manual', 'https://luals.github.io/wiki/configuration/', '.luarc.json .luarc.jsonc'],
  ['editor', 'the Haskell language server', OPEN, 'manual', `${GITHUB}/haskell/hie-bios#readme`, 'hie.yaml'],
  ['editor', 'rust-analyzer', OPEN, 'manual', 'https://rust-analyzer.github.io/book/security.html', 'build.rs rust-analyzer.toml'],
  ['editor', 'rust-analyzer', OPEN, 'manual', 'https://rust-analyzer.github.io/book/security.html', 'Cargo.toml', commandsIn.cargo],
  ['editor', 'make, in an editor or to complete the names of its targets', 'the folder is opened or a target is typed', 'trial', `${GITHUB}/microsoft/vscode-makefile-tools/blob/main/docs/makefile-settings.md`, '{GNUm,M,m}akefile', commandsIn.makefile],
  ['editor', 'the ESLint of an editor', 'a file is opened', 'manual', 'https://eslint.org/docs/latest/use/configure/configuration-files', `eslint.config.${JS}`],
  ['editor', 'the ESLint of an editor', 'a file is opened', 'manual', 'https://eslint.org/docs/latest/use/configure/configuration-files-deprecated', '.eslintrc .eslintrc.{js,cjs,json,yaml,yml}'],
  ['editor', 'the Prettier of an editor', 'a file is saved', 'manual', 'https://prettier.io/docs/configuration', `prettier.config.${JS} .prettierrc .prettierrc.{json,json5,yaml,yml,toml,js,mjs,cjs,ts,mts,cts}`],
  ['editor', 'the Stylelint of an editor', 'a file is opened', 'manual', 'https://stylelint.io/user-guide/configure', `stylelint.config.${JS} .stylelintrc .stylelintrc.{json,yaml,yml,js,mjs,cjs}`],
  ['editor', 'the markdownlint of an editor', 'a file is opened', 'manual', `${GITHUB}/DavidAnson/vscode-markdownlint#security`, '.markdownlint.{cjs,mjs} .markdownlint-cli2.{jsonc,yaml,cjs,mjs}'],
  ['editor', 'oxlint, also in an editor', 'files are linted', 'trial', 'https://oxc.rs/docs/guide/usage/linter/config.html', '.oxlintrc.{json,jsonc} oxlint.config.{ts,mts}'],
  ['editor', 'the golangci-lint of an editor', 'a file is saved', 'manual', 'https://golangci-lint.run/docs/plugins/go-plugins/', '.golangci.{yml,yaml,toml,json}'],
  ['editor', 'the language server of Deno', OPEN, 'manual', 'https://docs.deno.com/runtime/reference/lint_plugins/', 'deno.{json,jsonc}'],
  ['editor', 'the language server of TypeScript', OPEN, 'manual', 'https://www.typescriptlang.org/tsconfig/#plugins', '{ts,js}config.json tsconfig.*.json', commandsIn.tsPlugins],
  ['editor', 'the test view of an editor', OPEN, 'manual', 'https://vitest.dev/config/', `{vite,vitest}.config.${JS}`],
  ['editor', 'an older Vitest', 'any test is run', 'manual', `${GITHUB}/vitest-dev/vitest/blob/003b89415f33f6eced7ee496589c42a381d50aa0/docs/guide/workspace.md`, 'vitest.{workspace,projects}.{js,ts,json}'],
  ['editor', 'the test view of an editor', OPEN, 'manual', 'https://jestjs.io/docs/configuration', `jest.config.${JS} jest.config.json`],
  ['editor', 'the test view of an editor', OPEN, 'manual', 'https://playwright.dev/docs/getting-started-vscode', `playwright.config.${JS}`],
  ['editor', 'the test view of an editor', OPEN, 'manual', `${GITHUB}/microsoft/playwright-vscode/blob/d0c26e527963aa889d041e8c5aef1bd53a02dcc3/src/extension.ts`, 'playwright*.config.{ts,js,mts,mjs}'],
  ['editor', 'a test runner', 'any test is run', 'manual', 'https://mochajs.org/running/configuring/', `.mocharc.{js,cjs,mjs,json,jsonc,yaml,yml}`],
  ['editor', 'a test runner', 'any test is run', 'manual', `${GITHUB}/avajs/ava/blob/main/docs/06-configuration.md`, `ava.config.${JS}`],
  ['editor', 'Karma', 'any test is run', 'manual', 'https://unpkg.com/karma@6.4.4/lib/cli.js', 'karma.conf.{js,coffee,ts}'],
  ['editor', 'Cypress', 'any test is run', 'manual', 'https://docs.cypress.io/app/references/configuration', 'cypress.config.{js,ts,mjs,cjs}'],
  ['editor', 'WebdriverIO', 'any test is run', 'manual', 'https://webdriver.io/docs/testrunner', `wdio.conf.${JS}`],
  ['editor', 'Jest', 'any test is run and its config names it', 'trial', 'https://nextjs.org/docs/app/guides/testing/jest', `jest.setup.${JS}`],
  ['editor', 'Babel, also in a linter', 'a file is compiled', 'manual', 'https://babeljs.io/docs/config-files', `babel.config.${JS} babel.config.json .babelrc .babelrc.{js,cjs,mjs,json,cts}`],
  ['editor', 'the Tailwind support of an editor', OPEN, 'manual', `${GITHUB}/tailwindlabs/tailwindcss-intellisense/tree/main/packages/vscode-tailwindcss#readme`, `tailwind.config.${JS}`],
  ['editor', 'PostCSS, also in an editor', 'a file is compiled', 'manual', 'https://www.npmjs.com/package/postcss-load-config/v/6.0.1', `postcss.config.${JS} .postcssrc .postcssrc.{json,yaml,yml} .postcssrc.${JS}`],
  ['editor', 'the language server of Svelte', OPEN, 'manual', `${GITHUB}/sveltejs/language-tools/blob/master/docs/preprocessors/in-general.md`, `svelte.config.${JS}`],
  ['editor', 'Astro', 'any of its commands is called', 'manual', 'https://unpkg.com/astro@6.0.5/dist/core/config/config.js', 'astro.config.{mjs,js,ts,mts}'],
  ['editor', 'Nuxt', 'any of its commands is called', 'manual', 'https://nuxt.com/docs/getting-started/configuration', `nuxt.config.${JS}`],
  ['editor', 'the GraphQL support of an editor', OPEN, 'manual', 'https://the-guild.dev/graphql/config/docs/user/usage', `graphql.config.{js,mjs,cjs,ts,mts,cts,json,yaml,yml,toml} .graphqlrc .graphqlrc.{js,mjs,cjs,ts,mts,cts,json,yaml,yml,toml}`],
  ['editor', 'cspell, also in an editor', 'a file is checked', 'manual', 'https://www.npmjs.com/package/cspell/v/9.8.0', `cspell.config.${JS}`],
  ['editor', 'Nx, also in an editor', 'the projects are listed', 'manual', 'https://unpkg.com/nx@24.0.6/schemas/nx-schema.json', 'nx.json'],
  ['editor', 'pytest, also in the test view of an editor', 'tests are collected', 'trial', 'https://docs.pytest.org/en/stable/reference/customize.html', 'conftest.py pytest.ini .pytest.ini'],
  ['editor', 'pytest, also in the test view of an editor', 'tests are collected', 'manual', 'https://docs.pytest.org/en/stable/reference/customize.html', '{,.}pytest.toml'],
  ['editor', 'Pylint, also in an editor', 'a file is opened', 'manual', 'https://pylint.readthedocs.io/en/stable/user_guide/usage/run.html', 'pylintrc .pylintrc pylintrc.toml .pylintrc.toml'],
  ['editor', 'mypy, also in an editor', 'a file is opened', 'manual', 'https://mypy.readthedocs.io/en/stable/config_file.html#confval-plugins', 'mypy.ini .mypy.ini'],
  ['editor', 'Flake8, also in an editor', 'a file is opened', 'manual', 'https://flake8.pycqa.org/en/latest/user/configuration.html#using-local-plugins', '.flake8'],
  ['editor', 'a Python tool, also in an editor', 'a file is opened', 'manual', 'https://flake8.pycqa.org/en/latest/user/configuration.html#using-local-plugins', 'pyproject.toml setup.cfg tox.ini', commandsIn.pythonTools],
  ['editor', 'RuboCop, also in an editor', 'a file is opened', 'manual', 'https://docs.rubocop.org/rubocop/configuration.html', '.rubocop.yml .config/rubocop/config.yml'],
  ['editor', 'Bundler, also for the Ruby LSP', OPEN, 'trial', 'https://bundler.io/man/gemfile.5.html', 'Gemfile gems.rb *.gemspec'],
  ['editor', 'Bundler, also for the Ruby LSP', OPEN, 'manual', 'https://bundler.io/man/bundle-config.1.html', '.bundle/config'],
  ['editor', 'Solargraph', OPEN, 'manual', `${GITHUB}/castwide/solargraph/blob/8fda63384dcf19568fdbf591b6e17d239c499e20/lib/solargraph/workspace.rb`, '.solargraph.yml'],
  ['editor', 'PHPStan, also in an editor', 'a file is opened', 'manual', 'https://phpstan.org/config-reference', 'phpstan.{neon,neon.dist,dist.neon}'],
  ['editor', 'PHP-CS-Fixer, also in an editor', 'a file is formatted', 'manual', `${GITHUB}/PHP-CS-Fixer/PHP-CS-Fixer/blob/master/doc/config.rst`, '.php-cs-fixer{,.dist}.php'],
  ['editor', 'PHPUnit, also in the test view of an editor', 'any test is run', 'manual', 'https://docs.phpunit.de/en/10.5/organizing-tests.html', 'phpunit.{xml,xml.dist,dist.xml}'],
  ['editor', 'Psalm, also in an editor', 'a file is opened', 'manual', 'https://psalm.dev/docs/running_psalm/configuration/', 'psalm.{xml,xml.dist,dist.xml}'],
  ['editor', 'Rector', 'any of its commands is called', 'manual', `${GITHUB}/rectorphp/rector/blob/2ac92445a4bbef7c21bce2d48dae756a64516c02/src/Bootstrap/RectorConfigsResolver.php`, 'rector.php rector.dist.php'],
  ['editor', 'Gradle, also in an editor', OPEN, 'manual', 'https://docs.gradle.org/current/userguide/build_lifecycle.html', '{build,settings}.gradle{,.kts}'],
  ['editor', 'Gradle, also in an editor', OPEN, 'manual', 'https://docs.gradle.org/userguide/config_gradle.html', 'gradle.properties'],
  ['editor', 'Gradle, also in an editor', OPEN, 'manual', 'https://gradle.org/docs/3.0-milestone-2/userguide/organizing_build_logic.html', 'buildSrc/'],
  ['editor', 'the wrapper of Gradle', 'the project is opened or built', 'manual', 'https://docs.gradle.org/2.3/dsl/org.gradle.api.tasks.wrapper.Wrapper.html', 'gradlew gradlew.bat wrapper/gradle-wrapper.{jar,properties}'],
  ['editor', 'Maven, also in an editor', OPEN, 'manual', 'https://maven.apache.org/configure.html', '.mvn/'],
  ['editor', 'Maven, also in an editor', OPEN, 'manual', 'https://maven.apache.org/guides/mini/guide-using-extensions.html', 'pom.xml', commandsIn.pom],
  ['editor', 'the wrapper of Maven', 'the project is built', 'manual', 'https://maven.apache.org/wrapper/maven-wrapper-distribution', 'mvnw mvnw.cmd'],
  ['editor', 'sbt, also in an editor', OPEN, 'manual', 'https://www.scala-sbt.org/1.x/docs/Command-Line-Reference.html', '.sbtopts .jvmopts'],
  ['editor', 'sbt, also in an editor', OPEN, 'manual', 'https://scalameta.org/metals/docs/build-tools/sbt', '*.sbt'],
  ['editor', 'sbt, also in an editor', OPEN, 'manual', 'https://www.scala-sbt.org/1.x/docs/Basic-Def.html', 'project/build.properties'],
  ['editor', 'Mill, also in an editor', OPEN, 'manual', 'https://mill-build.org/mill/cli/installation-ide.html', 'build.mill'],
  ['editor', 'Mill, also in an editor', OPEN, 'manual', `${GITHUB}/com-lihaoyi/mill/blob/0073e300f1239692c1d15e24737dc94e1d99784b/mill`, 'build.sc build.mill.scala'],
  ['editor', 'Mill, also in an editor', OPEN, 'manual', `${GITHUB}/com-lihaoyi/mill/blob/023b5a498e7cca3902fc69d293f02703d4237c45/runner/client/src/mill/runner/client/MillProcessLauncher.java`, '.mill-jvm-opts'],
  ['editor', 'CMake, also in an editor', OPEN, 'manual', `${GITHUB}/microsoft/vscode-cmake-tools/blob/main/docs/cmake-settings.md`, 'CMakeLists.txt CMake{,User}Presets.json'],
  ['editor', 'Bazel', 'any of its commands is called', 'manual', 'https://bazel.build/run/bazelrc', '.bazelrc'],
  ['editor', 'Bazelisk', 'any command of Bazel is called', 'manual', `${GITHUB}/bazelbuild/bazelisk#readme`, '.bazeliskrc .bazelversion tools/bazel'],
  ['editor', 'Buck', 'any of its commands is called', 'manual', `${GITHUB}/facebook/buck/blob/0244d5587422a3bcd06307655f8278b84a61e298/docs/files-and-dirs/buckconfig.soy`, '.buckconfig'],
  ['editor', 'Buck', 'any of its commands is called', 'manual', 'https://buck2.build/docs/concepts/buckconfig/', '.buckconfig.local .buckconfig.d/'],
  ['editor', 'MSBuild, also in an editor', OPEN, 'manual', 'https://learn.microsoft.com/visualstudio/msbuild/customize-by-directory', 'Directory.Build.{props,targets,rsp} Directory.Solution.{props,targets}'],
  ['editor', 'MSBuild, also in an editor', OPEN, 'manual', 'https://learn.microsoft.com/nuget/consume-packages/central-package-management', 'Directory.Packages.props'],
  ['editor', 'MSBuild, also in an editor', OPEN, 'manual', 'https://www.jetbrains.com/help/rider/Settings_Trusted_Locations.html', '*.csproj *.fsproj *.vbproj *.vcxproj *.proj', commandsIn.msbuild],
  ['editor', 'MSBuild, also in an editor', 'a project that imports it is opened', 'manual', 'https://learn.microsoft.com/previous-versions/visualstudio/visual-studio-2019/msbuild/import-element-msbuild', '*.targets *.props', commandsIn.msbuild],
  ['editor', 'SourceKit', OPEN, 'manual', `${GITHUB}/swiftlang/sourcekit-lsp/blob/5f8f165991d7c965197a130dbd38874701952623/Sources/BuildServerIntegration/SwiftPMBuildServer.swift`, 'Package.swift'],
  ['editor', 'Mix, also in an editor', OPEN, 'manual', 'https://hexdocs.pm/elixir/Config.html', '.formatter.exs config/{config,runtime}.exs'],
  ['editor', 'Mix, also in an editor', OPEN, 'trial', 'https://hexdocs.pm/mix/Mix.html', 'mix.exs'],
  ['editor', 'rebar3', 'any of its commands is called', 'trial', 'https://rebar3.org/docs/configuration/config_script/', 'rebar.config rebar.config.script'],
  ['editor', 'Merlin', 'a file is opened', 'manual', `${GITHUB}/ocaml/merlin/wiki/Project-configuration`, '.merlin'],
  ['editor', 'Ansible, also in an editor', OPEN, 'manual', 'https://docs.ansible.com/ansible/latest/reference_appendices/config.html', 'ansible.cfg .ansible.cfg'],

  ['agent', 'another agent', 'it works in the folder', 'manual', 'https://agents.md/', 'AGENTS.md AGENTS.override.md'],
  ['agent', 'Zed', 'its agent works in the folder', 'manual', 'https://zed.dev/docs/ai/rules', '.rules .cursorrules AGENT.md'],
  ['agent', 'Antigravity', 'it works in the folder', 'manual', 'https://antigravity.google/docs/cli/gcli-migration', '.agents/'],
  ['agent', 'an older Antigravity', 'it works in the folder', 'neither', 'https://antigravity.google/docs/skills', '.agent/'],
  ['agent', 'Claude Code', START, 'manual', `${GITHUB}/anthropics/claude-code/blob/main/CHANGELOG.md`, 'CLAUDE.md CLAUDE.local.md .claude/ .claude-plugin/ .mcp.json'],
  ['agent', 'Codex', START, 'manual', 'https://developers.openai.com/codex/config-advanced', '.codex/'],
  ['agent', 'Cursor', 'its agent works in the folder', 'manual', 'https://cursor.com/docs/rules', '.cursor/'],
  ['agent', 'Gemini CLI', START, 'manual', 'https://geminicli.com/docs/reference/configuration/', 'GEMINI.md .gemini/'],
  ['agent', 'GitHub Copilot', 'it works in the folder', 'manual', 'https://docs.github.com/en/copilot/how-tos/configure-custom-instructions-in-your-ide/add-repository-instructions-in-your-ide', 'copilot-instructions.md .github/instructions/'],
  ['agent', 'GitHub Copilot', 'it works in the folder', 'manual', 'https://docs.github.com/en/copilot/how-tos/copilot-cli/customize-copilot/use-hooks', '.github/hooks/'],
  ['agent', 'GitHub Copilot', 'its prompt is chosen', 'manual', 'https://code.visualstudio.com/docs/copilot/customization/prompt-files', '.github/prompts/'],
  ['agent', 'GitHub Copilot', 'it works in the folder', 'manual', 'https://code.visualstudio.com/docs/copilot/customization/custom-agents', '.github/{agents,chatmodes}/'],
  ['agent', 'GitHub Copilot', 'it works in the folder', 'manual', 'https://code.visualstudio.com/docs/copilot/customization/agent-skills', '.github/skills/'],
  ['agent', 'Windsurf', 'it works in the folder', 'manual', 'https://docs.windsurf.com/windsurf/cascade/memories', '.windsurf/ .windsurfrules'],
  ['agent', 'Cline', 'it works in the folder', 'manual', 'https://docs.cline.bot/customization/cline-rules', '.clinerules .clinerules/'],
  ['agent', 'Roo Code', 'it works in the folder', 'manual', 'https://docs.roocode.com/features/custom-instructions', '.roo/ .roorules .roorules-* .roomodes'],
  ['agent', 'Aider', START, 'manual', 'https://aider.chat/docs/config/aider_conf.html', '.aider.conf.yml'],
  ['agent', 'Continue', 'it works in the folder', 'manual', 'https://docs.continue.dev/customize/deep-dives/mcp', '.continue/'],
  ['agent', 'OpenCode', START, 'manual', 'https://opencode.ai/docs/config/', 'opencode.{json,jsonc} .opencode/'],
  ['agent', 'Crush', START, 'manual', `${GITHUB}/charmbracelet/crush#configuration`, '{,.}crush.json'],
  ['agent', 'Goose', 'it works in the folder', 'manual', `${GITHUB}/block/goose/blob/main/documentation/docs/guides/using-goosehints.md`, '.goosehints'],
  ['agent', 'Qwen Code', START, 'manual', `${GITHUB}/QwenLM/qwen-code/blob/5c99492a6690d2a8dda690cdcf6f2e9527b24898/docs/cli/configuration.md`, '.qwen/ QWEN.md'],
  ['agent', 'Kilo Code', 'it works in the folder', 'manual', `${GITHUB}/Kilo-Org/kilocode/blob/cbd3a81e423bf70d00413fa35431f43052a4bf94/apps/kilocode-docs/docs/advanced-usage/custom-rules.md`, '.kilocode/'],
  ['agent', 'Kiro', 'it works in the folder', 'manual', `${GITHUB}/kirodotdev/KiroCrew/blob/1675035c86bd04626aaf61328f6362bac62f098d/src/kiro_crew/docs/steering-and-hooks.md`, '.kiro/'],
  ['agent', 'Continue', 'it works in the folder', 'manual', `${GITHUB}/continuedev/continue/blob/d0a3c0b626b5bebc3bef4742eec05a0242be0bab/core/config/getWorkspaceContinueRuleDotFiles.ts`, '.continuerules'],
  ['agent', 'Amazon Q', 'it works in the folder', 'manual', `${GITHUB}/aws/amazon-q-developer-cli/blob/15cc8f3cd18c4272925ce1c7053268eedff1ea0a/docs/default-agent-behavior.md`, '.amazonq/ AmazonQ.md'],
  ['agent', 'Junie', 'it works in the folder', 'manual', 'https://www.jetbrains.com/help/junie/customize-guidelines.html', '.junie/'],
  ['agent', 'Trae', 'it works in the folder', 'manual', 'https://xie.infoq.cn/article/777f1b3c8018ef863d898001e', '.trae/'],
  ['agent', 'Augment', 'it works in the folder', 'manual', 'https://docs.augmentcode.com/cli/rules', '.augment/ .augment-guidelines'],
  ['agent', 'Warp', 'its agent works in the folder', 'manual', 'https://docs.warp.dev/agents/capabilities/rules', 'WARP.md'],
  ['agent', 'Factory', 'it works in the folder', 'manual', 'https://docs.factory.ai/reference/hooks-reference', '.factory/'],
  ['agent', 'pi', START, 'trial', `${GITHUB}/badlogic/pi-mono/blob/main/packages/coding-agent/docs/extensions.md`, '.pi/'],
  ['agent', 'OpenHands', 'it works in the folder', 'manual', `${GITHUB}/OpenHands/docs/blob/b9b5c03fe8895fd2f2340701482ff0585899c37c/openhands/usage/customization/hooks.mdx`, '.openhands/'],

  ['program', 'a program, and autoenv as a script,', 'it starts in the folder or the folder is entered', 'manual', 'https://bun.com/docs/runtime/environment-variables', '.env .env.{local,development,production,test} .env.{development,production,test}.local'],
  ['program', 'Python', 'it starts with the folder in its path', 'trial', 'https://docs.python.org/3/library/site.html', 'sitecustomize.py usercustomize.py'],
  ['program', 'Node started by Yarn', 'a program of the project starts', 'trial', `${GITHUB}/yarnpkg/yarn/pull/6629`, '.pnp.cjs .pnp.js .pnp.loader.mjs'],
  ['program', 'gdb', 'it starts in the folder, if its safe path has that', 'trial', 'https://sourceware.org/gdb/current/onlinedocs/gdb.html/Init-File-in-the-Current-Directory.html', '.gdbinit'],
  ['program', 'gdb', HOME, 'trial', 'https://sourceware.org/gdb/current/onlinedocs/gdb.html/Startup.html', '.gdbearlyinit'],
  ['program', 'lldb', 'it starts in the folder, if target.load-cwd-lldbinit is set', 'trial', 'https://lldb.llvm.org/man/lldb.html#configuration-files', '.lldbinit'],
  ['program', 'pdb', START, 'trial', 'https://docs.python.org/3/library/pdb.html#debugger-commands', '.pdbrc'],
  ['program', 'the debugger of Perl', START, 'trial', 'https://perldoc.perl.org/perldebug#Debugger-Customization', '.perldb'],
  ['program', 'R', START, 'trial', 'https://stat.ethz.ch/R-manual/R-devel/library/base/html/Startup.html', '.Rprofile'],
  ['program', 'R', START, 'trial', 'https://stat.ethz.ch/R-manual/R-devel/library/base/html/Startup.html', '.Renviron .RData'],
  ['program', 'R with renv', START, 'manual', `${GITHUB}/rstudio/renv/blob/main/vignettes/renv.Rmd`, 'renv/activate.R'],
  ['program', 'GHCi', START, 'manual', 'https://downloads.haskell.org/ghc/9.0.2/docs/html/users_guide/ghci.html#the-ghci-files', '.ghci'],
  ['program', 'irb', START, 'trial', 'https://docs.ruby-lang.org/en/master/IRB.html', '.irbrc'],
  ['program', 'pry', START, 'trial', `${GITHUB}/pry/pry/wiki/Pry-rc`, '.pryrc'],
  ['program', 'IEx', START, 'trial', 'https://hexdocs.pm/iex/IEx.html#module-the-iex-exs-file', '.iex.exs'],
  ['program', 'OCaml', START, 'trial', 'https://ocaml.org/manual/5.3/toplevel.html', '.ocamlinit'],
  ['program', 'Octave or MATLAB', START, 'manual', 'https://docs.octave.org/v7.3.0/Startup-Files.html', '.octaverc startup.m'],

  ['package', 'a package manager for JavaScript', 'packages are installed', 'trial', 'https://docs.npmjs.com/cli/using-npm/scripts#life-cycle-scripts', 'package.json', commandsIn.packageJson],
  ['package', 'npm', 'any of its commands is called', 'trial', 'https://docs.npmjs.com/cli/configuring-npm/npmrc', '.npmrc'],
  ['package', 'node-gyp', 'packages are installed', 'manual', 'https://docs.npmjs.com/cli/using-npm/scripts', 'binding.gyp'],
  ['package', 'Yarn', 'any of its commands is called', 'trial', 'https://yarnpkg.com/configuration/yarnrc#yarnPath', '.yarnrc .yarnrc.yml .yarn/plugins/ .yarn/releases/'],
  ['editor', 'an editor with the SDKs of Yarn', OPEN, 'manual', 'https://yarnpkg.com/getting-started/editor-sdks', '.yarn/sdks/'],
  ['package', 'pnpm', 'any of its commands is called', 'manual', 'https://pnpm.io/pnpmfile', '.pnpmfile.{cjs,mjs} pnpm-workspace.yaml'],
  ['package', 'Bun', 'any of its commands is called', 'manual', 'https://bun.com/docs/runtime/bunfig#preload', 'bunfig.toml .bunfig.toml'],
  ['package', 'pip', 'packages are installed', 'trial', 'https://pip.pypa.io/en/stable/reference/build-system/', 'setup.py'],
  ['package', 'pip', 'packages are installed', 'manual', 'https://pip.pypa.io/en/stable/topics/configuration/', 'pip.conf'],
  ['package', 'uv', 'any of its commands is called', 'manual', 'https://docs.astral.sh/uv/concepts/python-versions/#python-version-files', '.python-version .python-versions'],
  ['package', 'Cargo', 'any of its commands is called', 'trial', 'https://doc.rust-lang.org/cargo/reference/config.html', '.cargo/'],
  ['package', 'rustup', 'cargo or rustc is called', 'manual', 'https://rust-lang.github.io/rustup/overrides.html#the-toolchain-file', 'rust-toolchain rust-toolchain.toml'],
  ['package', 'Composer', 'packages are installed', 'manual', 'https://getcomposer.org/doc/articles/scripts.md', 'composer.json', commandsIn.composerJson],
  ['package', 'NuGet', 'packages are restored', 'manual', 'https://learn.microsoft.com/nuget/consume-packages/configuring-nuget-behavior', '{nuget,NuGet,Nuget}.{config,Config}'],

  ['pushed', 'GitHub', 'it is pushed', 'manual', 'https://docs.github.com/actions/get-started/understand-github-actions', '.github/workflows/'],
  ['pushed', 'GitHub', 'it is pushed and a workflow uses it', 'manual', 'https://docs.github.com/en/enterprise-server@3.20/actions/how-tos/write-workflows/choose-what-workflows-do/find-and-customize-actions', '.github/actions/'],
  ['pushed', 'GitHub', 'it is pushed and a workflow uses it', 'manual', 'https://docs.github.com/en/enterprise-server@3.17/actions/reference/metadata-syntax-reference', 'action.{yml,yaml}'],
  ['pushed', 'Gitea', 'it is pushed', 'manual', `${GITHUB}/go-gitea/gitea/blob/027fc4c4bffb2bd0a6e6c5de3bebf621d769018b/modules/actions/workflows.go`, '.gitea/workflows/'],
  ['pushed', 'Forgejo', 'it is pushed', 'manual', 'https://forgejo.org/docs/latest/user/actions/basic-concepts', '.forgejo/workflows/'],
  ['pushed', 'GitLab', 'it is pushed', 'manual', 'https://docs.gitlab.com/ci/quick_start/', '.gitlab-ci.yml'],
  ['pushed', 'GitLab', 'it is pushed and .gitlab-ci.yml includes it', 'manual', 'https://docs.gitlab.com/ci/yaml/includes/', '.gitlab-ci/'],
  ['pushed', 'GitLab', 'it is pushed and .gitlab-ci.yml includes it', 'manual', 'https://docs.gitlab.com/development/pipelines/internals/', '.gitlab/ci/'],
  ['pushed', 'CircleCI', 'it is pushed', 'manual', `${GITHUB}/circleci/circleci-docs/blob/0a066a980e295b15c235f45c4c67f9824071b4d5/jekyll/_cci2/config-intro.md`, '.circleci/'],
  ['pushed', 'Travis CI', 'it is pushed', 'manual', 'https://docs.travis-ci.com/user/tutorial/', '.travis.yml'],
  ['pushed', 'Woodpecker', 'it is pushed', 'manual', 'https://woodpecker-ci.org/docs/usage/project-settings', '.woodpecker/ .woodpecker.{yml,yaml}'],
  ['pushed', 'Drone', 'it is pushed', 'manual', 'https://docs.drone.io/pipeline/overview/', '.drone.yml'],
  ['pushed', 'Buildkite', 'it is pushed', 'manual', 'https://buildkite.com/docs/pipelines/defining-steps', '.buildkite/'],
  ['pushed', 'Cirrus CI', 'it is pushed', 'manual', 'https://cirrus-ci.org/guide/quick-start/', '.cirrus.yml'],
  ['pushed', 'Semaphore', 'it is pushed', 'manual', 'https://docs.semaphore.io/getting-started/tour/hello-world', '.semaphore/'],
  ['pushed', 'AppVeyor', 'it is pushed', 'manual', 'https://www.appveyor.com/docs/build-configuration/', '{,.}appveyor.yml'],
  ['pushed', 'Azure Pipelines', 'it is pushed', 'manual', `${GITHUB}/MicrosoftDocs/azure-devops-docs/blob/023e05cc56bb176f4fe0241e18ddf6876bd7bbb7/docs/pipelines/customize-pipeline.md`, 'azure-pipelines.yml'],
  ['pushed', 'Bitbucket', 'it is pushed', 'manual', 'https://confluence.atlassian.com/bitbucket/branch-workflows-in-bitbucket-pipelines-856697482.html', 'bitbucket-pipelines.yml'],
  ['pushed', 'Cloud Build', 'it is pushed', 'manual', 'https://cloud.google.com/sdk/gcloud/reference/builds/triggers/create/cloud-source-repositories', 'cloudbuild.yaml'],
  ['pushed', 'CodeBuild', 'it is pushed', 'manual', 'https://docs.aws.amazon.com/codebuild/latest/userguide/build-spec-ref', 'buildspec.yml'],
  ['pushed', 'TeamCity', 'it is pushed', 'manual', 'https://www.jetbrains.com/help/teamcity/kotlin-dsl.html', '.teamcity/'],
  ['pushed', 'Tekton', 'it is pushed', 'manual', `${GITHUB}/tektoncd/pipelines-as-code#readme`, '.tekton/'],
  ['pushed', 'Netlify', 'it is pushed', 'manual', 'https://docs.netlify.com/build/configure-builds/file-based-configuration', 'netlify.toml'],
  ['pushed', 'Vercel', 'it is pushed', 'manual', 'https://vercel.com/docs/project-configuration', 'vercel.{json,ts}'],
  ['pushed', 'Jenkins', 'it is pushed', 'manual', 'https://www.jenkins.io/doc/book/pipeline/multibranch/', 'Jenkinsfile'],
]

const repository = (why: string, source: string, only?: Place['commandsIn']): Place => ({
  kind: 'git',
  why,
  shownBy: 'trial',
  source: `${GIT_DOCS}/${source}`,
  commandsIn: only,
})

/** A git config with any file name. */
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
/** A program in the workspace that a git config names. */
export const PROGRAM = repository('git runs it, as a config of git names it', 'git-config')
/** The legacy files for remotes, which git still reads. */
export const REMOTE = repository(
  'git pushes to the address in it, and runs the hooks of a repository there',
  'gitrepository-layout',
)
export const REPOSITORY_ELSEWHERE = repository(
  'it leads git to a repository, from whose config commands are run',
  'gitrepository-layout',
)
export const HOOK: Place = {
  kind: 'hook',
  why: 'git runs it at a commit, merge, checkout or push',
  shownBy: 'trial',
  source: `${GIT_DOCS}/githooks`,
}
export const WAY_OUT: Place = {
  kind: 'link',
  why: 'it is a link out of the workspace: what reads or writes it here reads or writes there',
  shownBy: 'manual',
  source: 'https://man7.org/linux/man-pages/man7/symlink.7.html',
}

/** A program's name, which may contain dots and slashes: any path. */
const MERGE_STRATEGY = repository(
  'git runs the program that it names when a rebase or cherry-pick is continued',
  'git-merge',
)

/** Files in a repository's git folder, besides its hooks. */
export const REPOSITORY_FILES: Readonly<Record<string, Place>> = {
  commondir: REPOSITORY_ELSEWHERE,
  'info/attributes': ATTRIBUTES,
  'rebase-merge/git-rebase-todo': repository(
    'git runs its exec lines at `git rebase --continue`',
    'git-rebase',
  ),
  'rebase-merge/strategy': MERGE_STRATEGY,
  'sequencer/opts': MERGE_STRATEGY,
  'lazygit.yml': {
    kind: 'git',
    why: 'lazygit runs it when the folder is opened',
    shownBy: 'manual',
    source: 'https://github.com/jesseduffield/lazygit/blob/master/docs/Config.md',
  },
}

/** Keyed by file name, or by the end of a path with one or two slashes. */
const files = new Map<string, Place>()
const folders = new Map<string, Place>()
const endings: [start: string, end: string, place: Place][] = []

for (const [kind, program, when, shownBy, source, names, only] of ROWS) {
  const place: Place = {
    kind,
    why: `${program} ${VERBS[kind] ?? 'runs'} it when ${when}`,
    shownBy,
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

/** Expands braces: `a{b,c}` to `ab` and `ac`. */
function alternatives(text: string): string[] {
  const [, before, among, after] = /^([^{]*)\{([^}]*)\}(.*)$/.exec(text) ?? []
  if (among === undefined) return [text]
  return among.split(',').flatMap((one) => alternatives(`${before}${one}${after}`))
}

/** The place for the file `fileName` in the folder `path`. */
export function placeOfFile(fileName: string, path: string): Place | undefined {
  const name = fold(fileName)
  const place = files.get(name) ?? atEnd(files, name, fold(path))
  if (place) return place
  for (const [start, end, place] of endings) if (isBetween(name, start, end)) return place
  return undefined
}

/** The place for the folder `name` in the folder `path`, of which every file counts. */
export function placeOfFolder(name: string, path: string): Place | undefined {
  return folders.get(fold(name)) ?? atEnd(folders, fold(name), fold(path))
}

/** Whether the folder `name` in the folder `path`, of which every file counts, contains copies of the project. */
export function hasCopies(name: string, path: string): boolean {
  return fold(`${path.slice(path.lastIndexOf('/') + 1)}/${name}`) === COPIES
}

/** Claude Code makes a worktree for each task here: https://code.claude.com/docs/en/worktrees */
const COPIES = '.claude/worktrees'

/** Whether the folder `name` in the folder `path` may contain a file that matches by the end of its path. */
export function leadsToPlace(name: string, path: string): boolean {
  return ways.has(fold(`${path.slice(path.lastIndexOf('/') + 1)}/${name}`))
}

const ways = new Set([...files.keys()].filter((name) => name.split('/').length > 2).map(parentOf))

/** Every row once, for tests and docs. */
export const allPlaces: readonly Place[] = [
  ...new Set([...files.values(), ...folders.values(), ...endings.map(([, , place]) => place)]),
]

/** The last components of the path patterns: a fast check, since most names match none. */
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
