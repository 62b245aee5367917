import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'

/** As many shells at a time: each waits for a processor with each program that it starts. */
const SHELLS = 16

/** Cases that git judges together: to start git from Node takes longer than git does. */
const BATCH = 800

/**
 * For each process: a few bytes can make git fill gigabytes, work for a minute before it refuses them, write names without
 * end, or leave a core. One that gets no more memory refuses them, too; one that is ended has a status above 128.
 */
const BOUNDS = 'ulimit -v 4000000; ulimit -c 0; ulimit -t 1; ulimit -f 131072'

const ENV = {
  PATH: process.env.PATH,
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_CONFIG_GLOBAL: '/dev/null',
  // Nothing is to be written but what the test writes.
  GIT_OPTIONAL_LOCKS: '0',
}

/**
 * Has git judge `total` cases, the `examples` among them and the others random. Each has a folder of its own below `root`, which `prepare` fills once, `place` for
 * each case, and in which `script` is run by a shell; then `check` looks at what has come of it.
 */
export async function judgedByGit<Case>(options: {
  root: string
  total: number
  /** Of what git runs, so that a judge who is asleep is noticed whatever the random ones are. */
  examples: readonly Case[]
  cases: fc.Arbitrary<Case>
  prepare: (folder: string) => void
  place: (one: Case, folder: string) => void
  script: string
  check: (one: Case, folder: string) => void
}): Promise<void> {
  const { root, total, examples, cases, prepare, place, script, check } = options
  const size = Math.max(examples.length, Math.min(BATCH, total))
  const folders = Array.from({ length: size }, (_, i) => join(root, String(i)))
  for (const folder of folders) {
    mkdirSync(folder, { recursive: true })
    prepare(folder)
  }
  const seed = Number(process.env.FC_SEED ?? Date.now() % 1_000_000_000)
  for (let done = 0; done < total; done += folders.length) {
    const random = fc.sample(cases, { numRuns: folders.length, seed: seed + done })
    const batch = done === 0 ? [...examples, ...random.slice(examples.length)] : random
    for (const [i, one] of batch.entries()) place(one, folders[i] ?? '')
    await inEach(folders, script)
    for (const [i, one] of batch.entries()) {
      try {
        check(one, folders[i] ?? '')
      } catch (error) {
        throw new Error(`FC_SEED=${seed + done}, case ${i}: ${fc.stringify(one)}`, { cause: error })
      }
    }
  }
}

async function inEach(folders: readonly string[], script: string): Promise<void> {
  const size = Math.ceil(folders.length / SHELLS)
  const shells = Array.from({ length: SHELLS }, (_, i) => {
    const part = folders.slice(i * size, (i + 1) * size)
    const all = `${BOUNDS}; for folder; do cd "$folder" || exit; ${script}\ndone 2>/dev/null; exit 0`
    return spawn('sh', ['-c', all, 'sh', ...part], { env: ENV, stdio: 'ignore' })
  })
  const ends = await Promise.all(shells.map((shell) => once(shell, 'exit')))
  if (ends.some(([status]) => status !== 0))
    throw new Error(`a shell ended early: ${ends.join(' ')}`)
}
