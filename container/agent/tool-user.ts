import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { messageOf } from '../../shared/errors.ts'
import { notKeptApart } from '../../shared/not-kept-apart.ts'
import type { RunRequest } from '../../shared/protocol.ts'
import { quote } from '../../shared/visible-text.ts'
import { hasRights } from '../worker/become-tool-user.ts'

type Ids = NonNullable<RunRequest['worker']>

/** Who runs the tools. */
export interface ToolUser {
  /** Whether they can neither read our memory nor write to our output. */
  isIsolated: boolean
  /** Absent: the agent's own user. */
  ids?: Ids
  /** What a command line of theirs begins with that must have no rights; empty where the user has none. */
  prefix: readonly string[]
}

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
 * Tools are run by another user than the agent. If that is root, whoever the agent is, all of root's rights
 * are taken from them. That keeps them apart even if the agent is root as well: the kernel lets nobody look
 * into a process that has capabilities which he has not (ptrace(2), "Ptrace access mode checking"). Without
 * `worker` they are run as the agent is, as other hosts want it.
 * @throws CodexboxError `image-unusable` where that cannot be had.
 */
export function toolUser({ worker }: Pick<RunRequest, 'worker'>): ToolUser {
  if (!worker) return { isIsolated: false, prefix: [] }
  const isAnother = worker.uid !== process.getuid?.()
  if (isAnother && worker.uid !== 0) return { isIsolated: true, ids: worker, prefix: [] }
  const prefix = withoutRights(worker.gid)
  const wrong = whatIsWrong(worker, prefix)
  if (!wrong) return { isIsolated: true, ids: worker, prefix }
  throw notKeptApart(worker.uid, wrong)
}

/** Tried, and seen: the command may succeed and change nothing. */
function whatIsWrong({ uid, gid }: Ids, [command = '', ...args]: readonly string[]) {
  try {
    if (!hasRights(readFileSync(STATUS, 'utf8')))
      return 'the agent has no rights that they have not'
    const theirs = execFileSync(command, [...args, 'cat', STATUS], {
      encoding: 'utf8',
      stdio: 'pipe',
      uid,
      gid,
    })
    return hasRights(theirs) ? 'their rights stay with them' : undefined
  } catch (error) {
    return `their rights cannot be taken from them (${quote(messageOf(error))})`
  }
}

const STATUS = '/proc/self/status'
