import { readFileSync } from 'node:fs'
import { setTimeout } from 'node:timers/promises'
// A program with a conversation is as large as all of it, and the larger it is the longer a start of a process takes.
import * as codexbox from '../../host/index.ts'
import { watchAutorun } from '../../host/outer/autorun/watch.ts'

// Prints for how many milliseconds the main thread is on the processor while a conversation is opened and at each of
// some prompts: other programs of the machine may keep it from there, which is none of our cost.

const nap = new Int32Array(new SharedArrayBuffer(4))

const [, , folder = '', count = '10'] = process.argv
// The first call takes longer.
onProcessorMs()
const beforeAll = onProcessorMs()
const watch = watchAutorun(folder)
// As long as it takes to open a conversation and to start its container, at the least.
await setTimeout(typeof codexbox.openConversation === 'function' ? 200 : 0)
const opening = onProcessorMs() - beforeAll

const prompts: number[] = []
for (let i = 0; i < Number(count); i++) {
  const run = { emit: () => {}, whenStopped: () => () => {} }
  const before = onProcessorMs()
  await watch.runBegins(run)()
  await watch.runOver(run)
  prompts.push(onProcessorMs() - before)
}
console.log(JSON.stringify({ opening, prompts }))
process.exit()

function onProcessorMs(): number {
  // The kernel counts when a thread leaves the processor, or a few milliseconds later.
  Atomics.wait(nap, 0, 0, 1)
  const [ns] = readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'latin1').split(' ')
  return Number(ns) / 1e6
}
