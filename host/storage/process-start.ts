import { readFileSync } from 'node:fs'

/**
 * The start time of a process, or undefined where it is not known (other systems than Linux). A pid is
 * reused after a while; pid and start time together are unique. The time counts from the boot, so the
 * boot id is part of it. `ended` for a zombie.
 */
export function processStart(pid: number): string | undefined {
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // proc_pid_stat(5): the name in brackets may hold anything; field 3 is the first after it.
    const [state = '', ...fields] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return state === 'Z' || state === 'X' ? 'ended' : `${boot}/${fields[18]}`
  } catch {
    // No such file: not Linux, or the process has just exited.
    return undefined
  }
}
