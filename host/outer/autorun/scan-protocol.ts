import type { AutorunReport } from './report.ts'

/** What a process is told that looks at a workspace. A line with the states to compare with follows, or `null`. */
export interface ScanOrder {
  root: string
  /** Whether what was not read is reported only where that is new. */
  onlyNews: boolean
}

/** Its answer. A line with the states that the next look is to be compared with follows. */
export interface ScanReport {
  report?: AutorunReport | undefined
  /** Files that tools cannot write by these names, and perhaps by others. */
  hardLinks: string[]
}

/** Of states: as many as a look finds at the most, with names of the usual length. */
export const MAX_LINE_BYTES = 32 * 1024 * 1024

/** Of an answer, in UTF-16 units. */
export const MAX_ANSWER_LENGTH = 2 * MAX_LINE_BYTES
