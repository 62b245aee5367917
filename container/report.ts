/**
 * What the container script says before anything else, as a script of its own: it stands ahead of any other script
 * that an engine of ours is to start in the place of the agent, as the doctor does.
 */
import { mountQuestion, printLook, reportMounts } from './agent/report-mounts.ts'

const [, , role, ...args] = process.argv
if (role === 'agent') {
  process.stdout.write(`${JSON.stringify(reportMounts(mountQuestion(args.slice(1))))}\n`)
} else if (role === 'look') {
  printLook(args)
  process.exit(0)
}
