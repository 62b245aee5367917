import type { FinishedEvent } from '../../../shared/protocol.ts'

/** Exit codes by error code; scripts rely on them. Any other error is 1. */
const BY_ERROR: Record<string, number> = {
  'wrong-use': 2,
  'config-invalid': 2,
  'workspace-invalid': 2,
  'session-invalid': 2,
  'session-busy': 2,
  'session-missing': 2,
  'not-signed-in': 3,
  'sign-in-failed': 3,
  'tokens-invalid': 3,
  'usage-limit': 4,
  'engine-unavailable': 5,
  'image-missing': 5,
  'image-unusable': 5,
}

export const INTERRUPTED = 130

export function exitCodeOfError(code: string): number {
  return BY_ERROR[code] ?? 1
}

export function exitCodeOf({ status, error }: Pick<FinishedEvent, 'status' | 'error'>): number {
  switch (status) {
    case 'done':
      return 0
    case 'interrupted':
      return INTERRUPTED
    case 'turn-limit':
      return 1
    case 'failed':
      return exitCodeOfError(error?.code ?? 'internal')
  }
}
