/**
 * The first output of the container script. It is also a script of its own: the engine prepends it to any script that
 * it starts instead of the agent, as for the doctor.
 */
import { writeFileSync } from 'node:fs'
import { mountQuestion, printInspection, reportMounts } from './agent/report-mounts.ts'

const [, , role, ...args] = process.argv
if (role === 'agent') {
  // By descriptor: `process.stdout` takes a millisecond or two to open.
  writeFileSync(1, `${JSON.stringify(reportMounts(mountQuestion(args.slice(1))))}\n`)
} else if (role === 'look') {
  printInspection(args)
  process.exit(0)
}
