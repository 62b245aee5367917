/** What runs a file, the most dangerous first: a kind that needs less action by the user comes earlier. */
export const KINDS = {
  git: 'git runs commands from it, also for `git status`',
  hook: 'git runs it at a commit, merge, checkout or push',
  enter: 'it runs when the folder is entered',
  editor: 'an editor, linter, test runner or build tool runs it when the folder is opened or used',
  unread: 'it was not read to its end',
  shell: 'a shell runs it when it starts',
  program: 'a program loads it when it starts here',
  package: 'a package manager runs it',
  agent: 'other agents take instructions or commands from it',
  link: 'it leads out of the workspace',
  pushed: 'it runs elsewhere when it is pushed',
} as const

export type Kind = keyof typeof KINDS

/** By severity: the first is listed first and dropped last. */
export const kindsByWeight = Object.keys(KINDS) as readonly Kind[]
