import { readFileSync } from 'node:fs'

/**
 * When a process started, or undefined where that cannot be seen (other systems than Linux). A
 * process id is used again after a while; together with this it is not. Counted from the boot, so
 * the boot is part of it. A zombie has ended and starts with no time.
 */
export function processStart(pid: number): string | undefined {
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // proc_pid_stat(5): the name in brackets may hold anything; field 3 is the first after it.
    const [state = '', ...fields] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return state === 'Z' || state === 'X' ? 'ended' : `${boot}/${fields[18]}`
  } catch {
    // No such file: not Linux, or the process has just gone.
    return undefined
  }
}
