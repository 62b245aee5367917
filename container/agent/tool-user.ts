import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { messageOf } from '../../shared/errors.ts'
import { notKeptApart } from '../../shared/not-kept-apart.ts'
import type { RunRequest } from '../../shared/protocol.ts'
import { quote } from '../../shared/visible-text.ts'

/** How the process is started that runs the tools. */
export interface ToolUser {
  /** Whether it can neither read our memory nor write to our output. */
  isIsolated: boolean
  /** What its command line begins with. */
  prefix: readonly string[]
  ids: RunRequest['worker']
}

/** Of util-linux; takes every capability from what it starts, also those it could ever have. */
const WITHOUT_RIGHTS = ['setpriv', '--bounding-set=-all', '--inh-caps=-all']

/**
 * Tools are run by another user than the agent. If that is root, whoever the agent is, all of root's rights
 * are taken from them. That keeps them apart even if the agent is root as well: the kernel lets nobody look
 * into a process that has capabilities which he has not (ptrace(2), "Ptrace access mode checking"). Without
 * `worker` they are run as the agent is, as other hosts want it.
 * @throws CodexboxError `image-unusable` where that cannot be had.
 */
export function toolUser({ worker }: Pick<RunRequest, 'worker'>): ToolUser {
  if (!worker) return { isIsolated: false, prefix: [], ids: undefined }
  const isAnother = worker.uid !== process.getuid?.()
  if (isAnother && worker.uid !== 0) return { isIsolated: true, prefix: [], ids: worker }
  const wrong = whatIsWrong(worker)
  if (!wrong) return { isIsolated: true, prefix: WITHOUT_RIGHTS, ids: worker }
  throw notKeptApart(worker.uid, wrong)
}

/** Tried, and seen: the command may succeed and change nothing. */
function whatIsWrong(worker: { uid: number; gid: number }): string | undefined {
  const [command = '', ...args] = WITHOUT_RIGHTS
  try {
    if (!hasRights(readFileSync(STATUS, 'utf8')))
      return 'the agent has no rights that they have not'
    const theirs = execFileSync(command, [...args, 'cat', STATUS], {
      encoding: 'utf8',
      stdio: 'pipe',
      ...worker,
    })
    return hasRights(theirs) ? 'their rights stay with them' : undefined
  } catch (error) {
    return `their rights cannot be taken from them (${quote(messageOf(error))})`
  }
}

const STATUS = '/proc/self/status'

const hasRights = (status: string) => !/^CapPrm:\t0+$/m.test(status)
