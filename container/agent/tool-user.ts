import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { CodexboxError, messageOf } from '../../shared/errors.ts'
import { notKeptApart } from '../../shared/not-kept-apart.ts'
import type { RunRequest } from '../../shared/protocol.ts'
import { quote } from '../../shared/visible-text.ts'
import { hasRights } from '../worker/become-tool-user.ts'

type Ids = { uid: number; gid: number }

/** The user who runs the tools. */
export interface ToolUser {
  /** Whether the tools can neither read our memory nor write to our output. */
  isIsolated: boolean
  /** Absent: the agent's own user. */
  ids?: Ids
  /** The start of a command line that drops all capabilities; empty where the user has none. */
  prefix: readonly string[]
}

/** A user who runs nothing but the tools in this container: every process of that user may be ended. */
export type ExclusiveUser = Pick<Required<ToolUser>, 'ids' | 'prefix'>

/**
 * setpriv of util-linux drops every capability of the command it starts, also from the bounding set. The
 * effective group differs, for the worker to give up.
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
 * The tools run as another user than the agent. If that user is root, the tools lose all capabilities. That
 * isolates them even from an agent that is root as well: a process cannot trace one that has capabilities
 * which it lacks (ptrace(2), "Ptrace access mode checking"). Without `worker` the tools run as the agent's user, as
 * other hosts want it.
 * @throws CodexboxError `image-unusable` where the tools cannot be isolated.
 */
export function toolUser({ worker }: Pick<RunRequest, 'worker'>): ToolUser {
  if (!worker) return { isIsolated: false, prefix: [] }
  const isAnother = worker.uid !== process.getuid?.()
  const ids = { uid: worker.uid, gid: worker.gid }
  if (isAnother && worker.uid !== 0) return { isIsolated: true, ids, prefix: [] }
  const prefix = withoutRights(worker.gid)
  const wrong = isolationProblem(ids, prefix)
  if (!wrong) return { isIsolated: true, ids, prefix }
  throw notKeptApart(worker.uid, wrong)
}

/**
 * Undefined where the user of the tools may run other processes as well.
 * @throws CodexboxError `request-invalid` when the request says `isExclusive` and it cannot be true
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

/** Runs the command and checks its effect: it may succeed and change nothing. */
function isolationProblem(ids: Ids, [command = '', ...args]: readonly string[]) {
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
