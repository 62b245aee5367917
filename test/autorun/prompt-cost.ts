import { readFileSync } from 'node:fs'
import { setTimeout } from 'node:timers/promises'
import { watchAutorun } from '../../host/autorun/watch.ts'
// A program with a conversation is as large as all of it, and the larger it is the longer a start of a process takes.
import * as codexbox from '../../host/index.ts'

// Prints for how many milliseconds each of some prompts keeps the main thread on the processor, the first one first:
// other programs of the machine may keep it from there, which is none of our cost.

const [, , folder = '', count = '10'] = process.argv
const watch = watchAutorun(folder)
// As long as it takes to open a conversation and to start its container, at the least.
await setTimeout(typeof codexbox.openConversation === 'function' ? 200 : 0)

const busyMs: number[] = []
for (let i = 0; i < Number(count); i++) {
  const run = { emit: () => {}, whenStopped: () => () => {} }
  const before = onProcessorMs()
  await watch.runBegins(run)()
  await watch.runOver(run)
  busyMs.push(onProcessorMs() - before)
}
console.log(JSON.stringify(busyMs))
process.exit()

function onProcessorMs(): number {
  const [ns] = readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'latin1').split(' ')
  return Number(ns) / 1e6
}
