import { readFileSync } from 'node:fs'
import { messageOf } from '../../shared/errors.ts'

/**
 * Makes this process, which was started by the agent, one of the user who runs the tools. It does so itself,
 * and not before its program begins: what changes its user while it runs is closed to all other processes
 * of that user (PR_SET_DUMPABLE(2const)): its memory, its descriptors, ptrace. The tools, its children, are
 * such processes, and must not write answers in its place. They begin with a program of their own, and are as
 * any other process again. Where `setpriv` has set the user already, it has left another effective group, which is
 * given up here to the same effect.
 * @throws Error when that cannot be done, or was done and has not changed what it should
 */
export function becomeToolUser(uid: number, gid: number): void {
  try {
    if (process.getuid?.() !== uid) {
      leaveGroups()
      process.setgid?.(gid)
      process.setuid?.(uid)
    } else {
      process.setegid?.(gid)
    }
    const wrong = whatIsWrong(readFileSync('/proc/self/status', 'utf8'), uid, gid)
    if (wrong) throw new Error(wrong)
  } catch (error) {
    throw new Error(`it could not become user ${uid}: ${messageOf(error)}`)
  }
}

/** Not everywhere may root do it (user_namespaces(7), setgroups); there may be none to leave. */
function leaveGroups(): void {
  try {
    process.setgroups?.([])
  } catch {
    // Looked at below.
  }
}

function whatIsWrong(status: string, uid: number, gid: number): string | undefined {
  if (!status.includes(`\nUid:\t${uid}\t${uid}\t${uid}\t${uid}\n`)) return 'it is another one'
  if (!status.includes(`\nGid:\t${gid}\t${gid}\t`)) return 'it is in another group'
  if (process.getgroups?.().some((group) => group !== gid)) return 'it is in more groups'
  return hasRights(status) ? 'it has rights of its own' : undefined
}

/** Whether a process has capabilities, by its /proc/PID/status. */
export const hasRights = (status: string) => !/^CapPrm:\t0+$/m.test(status)
