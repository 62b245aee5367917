/**
 * A process of its own at one token store: `token-process.ts TASK OPTIONS`, the options as JSON.
 * Every task says `ready` first.
 */
import { createInterface } from 'node:readline'
import { setTimeout as pause } from 'node:timers/promises'
import { renewUnderLock } from '../../host/auth/renewal/renew.ts'
import { renewInProcess } from '../../host/auth/renewal/renew-in-process.ts'
import { usableTokens } from '../../host/auth/renewal/usable-tokens.ts'
import { fileTokenStore } from '../../host/auth/token-store.ts'
import { someTokens } from '../fakes/some-tokens.ts'
import { type Fault, withFault } from './fs-faults.ts'

export interface TokenProcessOptions {
  dataDir: string
  issuer: string
  lockTimeoutMs?: number
  staleMs?: number
  /** A clock that stood at the real time at `since` and runs this many times as fast. */
  clock?: { since: number; speed: number }
  fault?: { at: number; kind: Fault }
}

const [task = '', json = '{}'] = process.argv.slice(2)
const options = JSON.parse(json) as TokenProcessOptions
const { dataDir, clock, fault, ...lock } = options
const issuer = new URL(options.issuer)

const say = (line: string) => process.stdout.write(`${line}\n`)
const store = fileTokenStore(dataDir, lock)
const now = () => (clock ? clock.since + (Date.now() - clock.since) * clock.speed : Date.now())
const renew = renewInProcess({ ...lock, dataDir, issuer })
const tokens = usableTokens({ store, renew, now })

async function askOnce(usable = tokens): Promise<void> {
  try {
    say(`token ${(await usable()).access_token}`)
  } catch (error) {
    say(`error ${(error as { code?: string }).code} ${(error as Error).message}`)
  }
}

const tasks: Record<string, () => Promise<void>> = {
  /** Asks for a token for each line on stdin. */
  ask: async () => {
    for await (const _ of createInterface(process.stdin)) await askOnce()
  },
  /** Asks for a token again and again. */
  keepAsking: async () => {
    for (;;) {
      await askOnce()
      await pause(Math.random() * 100)
    }
  },
  /** Saves again and again. */
  keepSaving: async () => {
    for (let count = 1; ; count++) {
      await store.update(async () => someTokens({ last_refresh: count }))
      if (count === 1) say('saved')
    }
  },
  /** Renews in this very process, with a fault on the way. */
  renewWithFault: async () => {
    if (!fault) throw new Error('Which fault?')
    const here = usableTokens({ store, renew: renewUnderLock({ store, issuer }) })
    say(JSON.stringify(await withFault(dataDir, fault.at, fault.kind, () => askOnce(here))))
  },
}

say('ready')
await tasks[task]?.()
