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

/** The environment of the user; a test can replace that of the process. */
export interface Surroundings {
  env: NodeJS.Dict<string>
  platform: NodeJS.Platform
  /** Whether the user can answer a question. */
  isTerminal: boolean
}

export interface SignInOptions {
  config: Pick<Config, 'dataDir' | 'authIssuer'>
  /** Default: `browser`; `device` where no browser can reach this machine. */
  way?: SignInMethod | undefined
  surroundings?: Surroundings | undefined
  /** Shows a line to the user; by default on stderr, because a program may read stdout. */
  say?: ((line: string) => void) | undefined
  ask?: Ask | undefined
  openUrl?: ((url: string) => Promise<void>) | undefined
  /** Ports of the callback; see `signInWithBrowser`. */
  ports?: readonly number[] | undefined
  now?: (() => number) | undefined
  pause?: Sleep | undefined
  signal?: AbortSignal | undefined
}

/**
 * Signs the user in and stores the tokens; they replace an earlier sign-in.
 * @throws CodexboxError `sign-in-failed`, `tokens-invalid`
 */
export async function signIn(options: SignInOptions): Promise<Tokens> {
  const { config, surroundings = processSurroundings(), say = sayOnStderr } = options
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
  // Checked before a browser is opened for nothing.
  if (signal.aborted) throw stopped()
  const { method, asks } = chooseSignInMethod(
    env,
    platform,
    isTerminal,
    wantsImport ? 'import' : options.way,
  )

  const save = async (tokens: Tokens) => {
    const aside = await store.replace(tokens)
    if (aside) say(`The sign-in before was damaged; its file is now ${aside}.`)
  }
  const common = { issuer: config.authIssuer, say, save, signal, now }
  switch (method) {
    case 'browser':
      return signInWithBrowser({ ...common, openUrl, ports, ...(asks ? { ask } : {}) })
    case 'paste':
      return signInWithBrowser({ ...common, ask })
    case 'device':
      return signInWithDevice({ ...common, pause })
    case 'import': {
      const tokens = readCodexSignIn(file, now())
      await save(tokens)
      say(`Imported the sign-in of Codex from ${file}. ${SHARED_SIGN_IN}`)
      return tokens
    }
  }
}

/** Asks only when there is a sign-in to import; the better answer is the default. */
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
    // The user did not request an import, so its error is not shown.
    return undefined
  }
}

const stopped = () =>
  new CodexboxError('sign-in-failed', 'The sign-in was stopped. Nothing was changed.')

function processSurroundings(): Surroundings {
  const { env, platform, stdin, stderr } = process
  return { env, platform, isTerminal: Boolean(stdin.isTTY && stderr.isTTY) }
}

function sayOnStderr(line: string): void {
  process.stderr.write(`${visible(line)}\n`)
}
