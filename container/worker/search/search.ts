/** What is looked for, and where. */
export interface Search {
  /** A regular expression. */
  pattern: string
  ignoreCase: boolean
  /** A folder; matches carry paths relative to it. */
  folder: string
  /** The one file in it to look at; undefined: all of them. */
  file: string | undefined
  /** Which files: a name or a path below `folder`, with `*`, `**`, `?`, `[…]`, `{a,b}`; `!` in front: not these. */
  glob: string | undefined
  /** Aborted when it has taken too long, or is no longer wanted. */
  signal: AbortSignal
}

export interface Match {
  /** Relative to the folder. */
  path: string
  /** The first is 1. */
  line: number
  text: string
  /** Where in the text the match begins. */
  at: number
}

export const MAX_SEARCHED_FILE_BYTES = 10 * 1024 * 1024
