import { parseArgs } from 'node:util'
import { compareAll } from './drift/compare-all.ts'
import { clientAt, newestClient } from './drift/newest-client.ts'

const HELP = `Compares the newest official client with the recordings of it.

  npm run drift -- [--client PATH] [--update] [NAME…]

It takes the client from npm (or from PATH), plays every recording to it on this machine, and prints
what it does in another way than recorded. --update writes the recordings anew; then run the tests
with UPDATE_DOCS=1. A NAME is the beginning of the names to play. Exit codes: 0 no difference, 1 some,
2 it could not be done.`

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    client: { type: 'string' },
    update: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  },
})

if (values.help) {
  console.log(HELP)
} else {
  try {
    const client = values.client ? await clientAt(values.client) : await newestClient()
    const differences = await compareAll(client, {
      isWanted: (name) =>
        positionals.length === 0 || positionals.some((prefix) => name.startsWith(prefix)),
      update: values.update,
      say: (line) => console.log(line),
    })
    process.exitCode = differences > 0 ? 1 : 0
  } catch (error) {
    console.error(`Nothing was compared: ${error instanceof Error ? error.message : error}`)
    process.exitCode = 2
  }
}
