import { CodexboxError, reasonOf, systemCodeOf } from './errors.ts'

/**
 * The error that ended a command, for the user. An error without a code is `internal`: with the system's message and
 * what to do about it, or as a fault of codexbox; the stack is in its cause, for a debugger.
 */
export function failureOf(error: unknown): CodexboxError {
  if (error instanceof CodexboxError) return error
  const advice = adviceOn(error) ?? 'This is a fault in codexbox: please report it.'
  const reason = reasonOf(error).trim().replace(/\.$/, '')
  return new CodexboxError('internal', `codexbox cannot go on: ${reason}. ${advice}`, {
    cause: error,
  })
}

/** What to do about a system error, as a sentence; undefined for a code that is not in the table. */
export function adviceOn(error: unknown): string | undefined {
  return ADVICE[systemCodeOf(error) ?? '']
}

const ACCESS = 'Give yourself access there, then try again.'
const ROOM = 'Make room there, then try again.'
const AWAY = 'Move away what is there, then try again.'
const FILES = 'Let this process open more files (`ulimit -n`), then try again.'

/** By the system's code. */
const ADVICE: Readonly<Record<string, string>> = {
  EACCES: ACCESS,
  EPERM: ACCESS,
  EROFS: ACCESS,
  ENOSPC: ROOM,
  EDQUOT: ROOM,
  EFBIG: 'Let this process write larger files (`ulimit -f`), then try again.',
  EMFILE: FILES,
  ENFILE: 'The whole machine has too many files open: end other programs, then try again.',
  ENOMEM: 'Free some memory, then try again.',
  EAGAIN: 'Let this user start more processes (`ulimit -u`), then try again.',
  EEXIST: AWAY,
  ENOTDIR: AWAY,
  EISDIR: AWAY,
}
