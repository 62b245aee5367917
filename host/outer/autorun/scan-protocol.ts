import type { AutorunReport } from './report.ts'

/** A request to the scan process. The next line holds the states to compare with, or `null`. */
export interface ScanOrder {
  root: string
  /** Whether unread files are reported only if that is new. */
  onlyNews: boolean
}

/** The response. The next line holds the states for the next scan. */
export interface ScanReport {
  report?: AutorunReport | undefined
  /** Files that tools cannot write by these names, but perhaps by a hard link. */
  hardLinks: string[]
}

/** Enough for the states of the most files that a scan reports, with names of usual length. */
export const MAX_LINE_BYTES = 32 * 1024 * 1024

/** Of a response, in UTF-16 units. */
export const MAX_ANSWER_LENGTH = 2 * MAX_LINE_BYTES
