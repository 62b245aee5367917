import { readFileSync } from 'node:fs'
import { messageOf } from '../../shared/errors.ts'

/**
 * Changes the user of this process, which the agent started, to the user of the tools. The process does so itself,
 * after its start: the kernel then closes its memory, its descriptors and ptrace to all other processes of that
 * user (PR_SET_DUMPABLE(2const)). The tools, its children, are such processes, and must not write answers in its
 * place. A tool starts with execve, which lifts that protection for the tool itself. Where `setpriv` has set the user
 * already, it has left another effective group; leaving that group has the same effect.
 * @throws Error when the change fails, or succeeds without the intended effect
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
    const wrong = identityProblem(readFileSync('/proc/self/status', 'utf8'), uid, gid)
    if (wrong) throw new Error(wrong)
  } catch (error) {
    throw new Error(`it could not become user ${uid}: ${messageOf(error)}`)
  }
}

/** Root may not do it everywhere (user_namespaces(7), setgroups); there may be no group to leave. */
function leaveGroups(): void {
  try {
    process.setgroups?.([])
  } catch {
    // `identityProblem` checks the groups.
  }
}

function identityProblem(status: string, uid: number, gid: number): string | undefined {
  if (!status.includes(`\nUid:\t${uid}\t${uid}\t${uid}\t${uid}\n`)) return 'it is another one'
  if (!status.includes(`\nGid:\t${gid}\t${gid}\t`)) return 'it is in another group'
  if (process.getgroups?.().some((group) => group !== gid)) return 'it is in more groups'
  return hasRights(status) ? 'it has rights of its own' : undefined
}

/** Whether a process has capabilities, by its /proc/PID/status. */
export const hasRights = (status: string) => !/^CapPrm:\t0+$/m.test(status)
