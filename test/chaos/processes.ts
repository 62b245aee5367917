import { execFileSync } from 'node:child_process'

/** The process ids of the agent of a host on plain processes, and of its worker, as far as they run. */
export function processesOf(hostPid: number | undefined): { agent?: number; worker?: number } {
  const table = execFileSync('ps', ['-A', '-o', 'pid=,ppid=,args='])
    .toString()
    .split('\n')
    .map((line) => {
      const [, pid, parent, args = ''] = /^ *(\d+) +(\d+) +(.*)/.exec(line) ?? []
      return { pid: Number(pid), parent: Number(parent), args }
    })
  const agent = table.find(({ parent, args }) => parent === hostPid && /agent\.c?js/.test(args))
  const worker = table.find(({ parent, args }) => parent === agent?.pid && / worker /.test(args))
  return { ...(agent ? { agent: agent.pid } : {}), ...(worker ? { worker: worker.pid } : {}) }
}
