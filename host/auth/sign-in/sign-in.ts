import { CodexboxError } from '../../../shared/errors.ts'
import { visible } from '../../../shared/visible-text.ts'
import type { Config } from '../../config.ts'
import { maskedEmail } from '../masked-email.ts'
import type { Sleep } from '../sleep.ts'
import { fileTokenStore } from '../token-store.ts'
import type { Tokens } from '../tokens.ts'
import { signInWithBrowser } from './browser-sign-in.ts'
import { codexAuthFile, readCodexSignIn, SHARED_SIGN_IN } from './codex-import.ts'
import { signInWithDevice } from './device-sign-in.ts'
import { chooseSignInMethod, type SignInMethod } from './method.ts'
import { openBrowser } from './open-browser.ts'
import { type Ask, promptForLines } from './prompt.ts'

/** Where the person is; a test can say so in place of the process. */
export interface Surroundings {
  env: NodeJS.Dict<string>
  platform: NodeJS.Platform
  /** Whether a person can be asked something. */
  isTerminal: boolean
}

export interface SignInOptions {
  config: Pick<Config, 'dataDir' | 'authIssuer'>
  /** The way to take. Default: the one that works where we are. */
  way?: SignInMethod | undefined
  surroundings?: Surroundings | undefined
  /** Says a line to the person; by default on stderr, since stdout may be read by a program. */
  say?: ((line: string) => void) | undefined
  ask?: Ask | undefined
  openUrl?: ((url: string) => Promise<void>) | undefined
  /** Where the browser may come back to; see `signInWithBrowser`. */
  ports?: readonly number[] | undefined
  now?: (() => number) | undefined
  pause?: Sleep | undefined
  signal?: AbortSignal | undefined
}

/**
 * Signs a person in and keeps the tokens, in the place of whatever was there.
 * @throws CodexboxError `sign-in-failed`, `tokens-invalid`
 */
export async function signIn(options: SignInOptions): Promise<Tokens> {
  const { config, surroundings = ofThisProcess(), say = sayOnStderr } = options
  const { ask = promptForLines, openUrl = openBrowser, now = Date.now } = options
  const store = fileTokenStore(config.dataDir)
  await store.prepare()

  const { env, platform, isTerminal } = surroundings
  const file = codexAuthFile(env)
  const { ports, pause, signal = new AbortController().signal } = options
  const wantsImport =
    options.way === undefined &&
    isTerminal &&
    (await choosesImport(file, { ask, say, now, signal }))
  // Before a browser is opened for nothing.
  if (signal.aborted) throw stopped()
  const { method: way, asks } = chooseSignInMethod(
    env,
    platform,
    isTerminal,
    wantsImport ? 'import' : options.way,
  )

  const save = async (tokens: Tokens) => {
    const aside = await store.replace(tokens)
    if (aside) say(`The sign-in before was damaged; its file is now ${aside}.`)
  }
  const about = { issuer: config.authIssuer, say, save, signal, now }
  switch (way) {
    case 'browser':
      return signInWithBrowser({ ...about, openUrl, ports, ...(asks ? { ask } : {}) })
    case 'paste':
      return signInWithBrowser({ ...about, ask })
    case 'device':
      return signInWithDevice({ ...about, pause })
    case 'import': {
      const tokens = readCodexSignIn(file, now())
      await save(tokens)
      say(`Imported the sign-in of Codex from ${file}. ${SHARED_SIGN_IN}`)
      return tokens
    }
  }
}

/** Asked only where there is something to import; the better answer is the default. */
async function choosesImport(
  file: string,
  offer: { ask: Ask; say: (line: string) => void; now: () => number; signal: AbortSignal },
): Promise<boolean> {
  const { ask, say, now, signal } = offer
  const email = emailIn(file, now())
  if (email === undefined) return false
  say(
    `Codex is signed in on this machine${email && ` as ${maskedEmail(email)}`}. That sign-in can be ` +
      `imported, but an own one is better. ${SHARED_SIGN_IN}`,
  )
  for await (const line of ask('Enter: an own sign-in. i: import that one. ', signal)) {
    return /^(i|import)$/i.test(line.trim())
  }
  return false
}

/** Undefined when there is nothing to import. */
function emailIn(file: string, now: number): string | undefined {
  try {
    return readCodexSignIn(file, now).email ?? ''
  } catch {
    // It was not asked for, so nothing is said about what is wrong with it.
    return undefined
  }
}

const stopped = () =>
  new CodexboxError('sign-in-failed', 'The sign-in was stopped. Nothing was changed.')

function ofThisProcess(): Surroundings {
  const { env, platform, stdin, stderr } = process
  return { env, platform, isTerminal: Boolean(stdin.isTTY && stderr.isTTY) }
}

function sayOnStderr(line: string): void {
  process.stderr.write(`${visible(line)}\n`)
}
