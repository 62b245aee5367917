/**
 * Measures the time from the call of `run` to the container's first event, in this checkout and in another:
 * alternately, so that load on the machine affects both. Each start has its own container, on a repository.
 *
 *     ./node_modules/.bin/tsx bench/start.ts [rounds] [folder of the other checkout]
 *
 * Both have to be built (`npm run build`). Needs a container engine and the tools image.
 */
import { execFileSync } from 'node:child_process'
import { chownSync, mkdirSync, mkdtempSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type * as Codexbox from '../host/index.ts'
import { packageRoot } from '../host/package-root.ts'

const [, , rounds = '20', otherCheckout] = process.argv

const folder = realpathSync(mkdtempSync(join(tmpdir(), 'codexbox-bench-')))
const workspace = join(folder, 'work')
mkdirSync(workspace)
execFileSync('git', ['init', '-q', workspace])
// Owned by an ordinary user: for root, tools are isolated by their user alone.
if (process.getuid?.() === 0) {
  execFileSync('chown', ['-R', '1000:1000', workspace])
  chownSync(folder, 1000, 1000)
}

async function msToFirstEvent({ openConversation }: typeof Codexbox): Promise<number> {
  const conversation = await openConversation({
    workspace,
    settings: { provider: 'demo', engine: 'docker', dataDir: join(folder, 'data') },
  })
  try {
    const startedAt = performance.now()
    const run = conversation.run('run: true')
    for await (const { type } of run) {
      if (type === 'started') return performance.now() - startedAt
    }
    throw new Error((await run.result).error?.message)
  } finally {
    await conversation.close()
  }
}

const load = (checkout: string): Promise<typeof Codexbox> =>
  import(pathToFileURL(join(checkout, 'dist/host/index.js')).href)

const median = (values: number[]) => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0

try {
  const checkouts = [packageRoot, ...(otherCheckout ? [realpathSync(otherCheckout)] : [])]
  const modules = await Promise.all(checkouts.map(load))
  const times = modules.map((): number[] => [])
  // Round -1 warms up.
  for (let round = -1; round < Number(rounds); round++) {
    const order = [...modules.entries()]
    // Both go first equally often: the removal of one container overlaps with the next start.
    if (round % 2) order.reverse()
    for (const [index, module] of order) {
      const ms = await msToFirstEvent(module)
      if (round >= 0) times[index]?.push(ms)
    }
  }
  console.log(`${rounds} starts each, ms from run() to the first event, median (fastest):`)
  for (const [index, checkout] of checkouts.entries()) {
    const all = times[index] ?? []
    console.log(`  ${median(all).toFixed(1)} (${Math.min(...all).toFixed(1)})  ${checkout}`)
  }
  const [own = [], other = []] = times
  const differences = own.map((ms, index) => ms - (other[index] ?? 0))
  if (otherCheckout)
    console.log(`  ${median(differences).toFixed(1)} between the two, median of the pairs`)
} finally {
  rmSync(folder, { recursive: true, force: true })
}
