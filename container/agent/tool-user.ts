import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { CodexboxError, messageOf } from '../../shared/errors.ts'
import { notKeptApart } from '../../shared/not-kept-apart.ts'
import type { RunRequest } from '../../shared/protocol.ts'
import { quote } from '../../shared/visible-text.ts'
import { hasRights } from '../worker/become-tool-user.ts'

type Ids = { uid: number; gid: number }

/** Who runs the tools. */
export interface ToolUser {
  /** Whether they can neither read our memory nor write to our output. */
  isIsolated: boolean
  /** Absent: the agent's own user. */
  ids?: Ids
  /** What a command line of theirs begins with that must have no rights; empty where the user has none. */
  prefix: readonly string[]
}

/** One that runs nothing but the tools in this container: whatever is found of it may be ended. */
export type ExclusiveUser = Pick<Required<ToolUser>, 'ids' | 'prefix'>

/**
 * Of util-linux; takes every capability from what it starts, also those it could ever have. The effective
 * group is another one, for the worker to give up.
 */
const withoutRights = (gid: number) => [
  'setpriv',
  '--bounding-set=-all',
  '--inh-caps=-all',
  '--clear-groups',
  `--rgid=${gid}`,
  `--egid=${gid === 65532 ? 65533 : 65532}`,
]

/**
 * Tools are run by another user than the agent. If that is root, all of root's rights are taken from them. That
 * keeps them apart even from an agent that is root as well: a process cannot look into one that has capabilities
 * which it lacks (ptrace(2), "Ptrace access mode checking"). Without `worker` they are run as the agent is, as other
 * hosts want it.
 * @throws CodexboxError `image-unusable` where that cannot be had.
 */
export function toolUser({ worker }: Pick<RunRequest, 'worker'>): ToolUser {
  if (!worker) return { isIsolated: false, prefix: [] }
  const isAnother = worker.uid !== process.getuid?.()
  const ids = { uid: worker.uid, gid: worker.gid }
  if (isAnother && worker.uid !== 0) return { isIsolated: true, ids, prefix: [] }
  const prefix = withoutRights(worker.gid)
  const wrong = whatIsWrong(ids, prefix)
  if (!wrong) return { isIsolated: true, ids, prefix }
  throw notKeptApart(worker.uid, wrong)
}

/**
 * Undefined where the user of the tools may run other things as well.
 * @throws CodexboxError `request-invalid` where that cannot be otherwise, whatever the request says
 */
export function exclusiveUser(
  { ids, prefix }: ToolUser,
  { worker }: Pick<RunRequest, 'worker'>,
): ExclusiveUser | undefined {
  if (!ids || !worker?.isExclusive) return undefined
  const isFirstHere = process.pid === 1 || process.ppid === 1
  if (isFirstHere && ids.uid !== process.getuid?.()) return { ids, prefix }
  throw new CodexboxError(
    'request-invalid',
    'Refused: worker.isExclusive must be left out where the agent is not what the container was started for, ' +
      'or is of the same user.',
  )
}

/** Tried, and seen: the command may succeed and change nothing. */
function whatIsWrong(ids: Ids, [command = '', ...args]: readonly string[]) {
  try {
    if (!hasRights(readFileSync(STATUS, 'utf8')))
      return 'the agent has no rights that they have not'
    const theirs = execFileSync(command, [...args, 'cat', STATUS], {
      encoding: 'utf8',
      stdio: 'pipe',
      ...ids,
    })
    return hasRights(theirs) ? 'their rights stay with them' : undefined
  } catch (error) {
    return `their rights cannot be taken from them (${quote(messageOf(error))})`
  }
}

const STATUS = '/proc/self/status'
