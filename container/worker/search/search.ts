/** The pattern and the files of a search. */
export interface Search {
  /** A regular expression. */
  pattern: string
  ignoreCase: boolean
  /** A folder; matches carry paths relative to it. */
  folder: string
  /** The only file in it to search; undefined: all files. */
  file: string | undefined
  /** Which files: a name or a path below `folder`, with `*`, `**`, `?`, `[…]`, `{a,b}`; `!` in front: not these. */
  glob: string | undefined
  /** Aborted after a timeout, or when the run is interrupted. */
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
