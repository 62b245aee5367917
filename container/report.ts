/**
 * What the container script says before anything else. It is also a script of its own, which stands ahead of any other
 * that an engine of ours is to start in the place of the agent, as the doctor does.
 */
import { writeFileSync } from 'node:fs'
import { mountQuestion, printLook, reportMounts } from './agent/report-mounts.ts'

const [, , role, ...args] = process.argv
if (role === 'agent') {
  // By its number: `process.stdout` takes a millisecond or two to come to be.
  writeFileSync(1, `${JSON.stringify(reportMounts(mountQuestion(args.slice(1))))}\n`)
} else if (role === 'look') {
  printLook(args)
  process.exit(0)
}
