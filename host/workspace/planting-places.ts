import {
  commandsInAttributes,
  commandsInGitConfig,
  lifecycleScripts,
  programsInCargo,
} from './executing-lines.ts'

/** A file from which something on the user's machine runs commands without being told to by name. */
export interface PlantingPlace {
  /** Who runs it, and when; goes on from "…: ". */
  why: string
  /** What of the text can run something; undefined when nothing does. Absent: all of it. */
  commandsIn?: (text: string) => string | undefined
}

const GIT = 'git runs commands from it, also for `git status`'
const SHELL = 'a shell runs it when it starts'
const EDITOR = 'an editor loads it with the folder, and it can run commands'
const PUSHED = 'it runs when it is pushed'
const PACKAGES = 'a package manager loads it'
const AGENT = 'other agents take instructions or commands from it'
const HOOK = 'git runs it at a commit, merge or push'

/** By their name, in whatever folder they are. */
export const FILES: Readonly<Record<string, PlantingPlace>> = {
  ...all(HOOK, [
    '.pre-commit-config.yaml',
    'lefthook.yml',
    'lefthook.yaml',
    '.lefthook.yml',
    '.lefthook.yaml',
    '.huskyrc',
    '.huskyrc.js',
    '.huskyrc.json',
  ]),
  '.gitattributes': { why: GIT, commandsIn: commandsInAttributes },
  '.gitmodules': { why: 'git fetches and runs what it names at `git submodule`' },
  '.gitconfig': { why: GIT, commandsIn: commandsInGitConfig },
  ...all(SHELL, [
    '.bashrc',
    '.bash_profile',
    '.bash_login',
    '.bash_logout',
    '.bash_aliases',
    '.profile',
    '.zshrc',
    '.zshenv',
    '.zprofile',
    '.zlogin',
    '.zlogout',
  ]),
  ...all('direnv or mise runs it when the folder is entered', [
    '.envrc',
    '.mise.toml',
    'mise.toml',
    '.mise.local.toml',
    'mise.local.toml',
  ]),
  '.env': { why: 'programs that start here, codexbox too, take their settings from it' },
  'package.json': { why: 'npm runs its scripts at an install', commandsIn: lifecycleScripts },
  ...all(PACKAGES, [
    '.npmrc',
    '.yarnrc',
    '.yarnrc.yml',
    '.pnpmfile.cjs',
    'pnpm-workspace.yaml',
    'bunfig.toml',
    'binding.gyp',
    'pip.conf',
  ]),
  ...all(EDITOR, [
    '.exrc',
    '.vimrc',
    '.nvimrc',
    '.nvim.lua',
    '.lvimrc',
    '.dir-locals.el',
    '.devcontainer.json',
    'build.rs',
    'eslint.config.js',
    'eslint.config.mjs',
    'eslint.config.cjs',
    'eslint.config.ts',
    '.eslintrc.js',
    '.eslintrc.cjs',
    'prettier.config.js',
    'prettier.config.mjs',
    'prettier.config.cjs',
    '.prettierrc.js',
    '.prettierrc.mjs',
    '.prettierrc.cjs',
    'build.gradle',
    'build.gradle.kts',
    'settings.gradle',
    'settings.gradle.kts',
  ]),
  ...all('a debugger runs it when it starts', ['.gdbinit', '.lldbinit', '.pdbrc']),
  ...all('an interpreter runs it when it starts', [
    '.Rprofile',
    '.ghci',
    '.irbrc',
    '.ocamlinit',
    '.octaverc',
    '.pryrc',
  ]),
  'Cargo.toml': { why: EDITOR, commandsIn: programsInCargo },
  ...all('Python runs it when it starts', ['sitecustomize.py', 'usercustomize.py']),
  ...all('cargo and rustup take commands from it', ['rust-toolchain', 'rust-toolchain.toml']),
  ...all(PUSHED, [
    '.gitlab-ci.yml',
    '.travis.yml',
    '.woodpecker.yml',
    '.drone.yml',
    'azure-pipelines.yml',
    'bitbucket-pipelines.yml',
    'Jenkinsfile',
  ]),
  ...all(AGENT, [
    'AGENTS.md',
    'AGENTS.override.md',
    'CLAUDE.md',
    'CLAUDE.local.md',
    'GEMINI.md',
    '.mcp.json',
    '.cursorrules',
    '.windsurfrules',
    '.clinerules',
    'copilot-instructions.md',
    '.aider.conf.yml',
    'opencode.json',
  ]),
}

/** Folders in which every file is such a one, by their name or the end of their path. */
export const FOLDERS: Readonly<Record<string, PlantingPlace>> = {
  ...all(HOOK, ['.husky', '.githooks', '.git-hooks', '.lefthook']),
  ...all(PUSHED, [
    '.github/workflows',
    '.github/actions',
    '.gitea/workflows',
    '.forgejo/workflows',
    '.circleci',
    '.woodpecker',
    '.buildkite',
  ]),
  ...all(EDITOR, [
    '.vscode',
    '.idea/runConfigurations',
    '.run',
    '.devcontainer',
    '.fleet',
    '.zed',
    '.nvim',
  ]),
  ...all(AGENT, ['.claude', '.codex', '.cursor', '.gemini', '.windsurf', '.clinerules']),
  ...all('cargo takes commands from it', ['.cargo']),
  ...all('yarn runs it', ['.yarn/plugins', '.yarn/releases']),
  ...all('direnv or mise runs it when the folder is entered', ['.direnv', '.mise']),
}

/** Files of `.idea` that start something; the rest of it changes all the time. */
export const IDEA_FILES: readonly string[] = ['watcherTasks.xml', 'startup.xml', 'tools.xml']

/** A config of git, whatever it is called. */
export const CONFIG: PlantingPlace = { why: GIT, commandsIn: commandsInGitConfig }

/** In a repository of git, beside its hooks. */
export const REPOSITORY_FILES: Readonly<Record<string, PlantingPlace>> = {
  config: CONFIG,
  'config.worktree': CONFIG,
  // Leads git to the config and the hooks of another folder.
  commondir: { why: GIT },
  'info/attributes': { why: GIT, commandsIn: commandsInAttributes },
}

export const HOOKS: PlantingPlace = { why: HOOK }
export const REPOSITORY_ELSEWHERE: PlantingPlace = {
  why: 'it leads git to a repository, from whose config commands are run',
}
export const WAY_OUT: PlantingPlace = {
  why: 'it is a link out of the workspace: what reads or writes it here reads or writes there',
}

function all(why: string, names: readonly string[]): Record<string, PlantingPlace> {
  return Object.fromEntries(names.map((name) => [name, { why }]))
}
