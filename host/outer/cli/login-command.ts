import { CodexboxError } from '../../../shared/errors.ts'
import { maskedEmail } from '../../auth/masked-email.ts'
import type { SignInMethod } from '../../auth/sign-in/method.ts'
import { signIn } from '../../auth/sign-in/sign-in.ts'
import { readConfig } from '../../config.ts'
import { INTERRUPTED } from './exit-code.ts'
import { Screen } from './screen.ts'

export interface LoginOptions {
  device?: boolean
  paste?: boolean
  import?: boolean
}

/** Signs in and replaces an existing sign-in. Resolves with the exit code. */
export async function loginCommand(options: LoginOptions): Promise<number> {
  const screen = new Screen()
  const stop = new AbortController()
  const onInterrupt = () => stop.abort()
  process.once('SIGINT', onInterrupt)
  try {
    const config = readConfig()
    const tokens = await signIn({ config, way: chosenMethod(options), signal: stop.signal })
    const whose = tokens.email ? ` as ${maskedEmail(tokens.email)}` : ''
    screen.note(`Signed in to ChatGPT${whose}. Kept in ${config.dataDir}.`, 'green')
    return 0
  } catch (error) {
    if (!stop.signal.aborted || !(error instanceof CodexboxError)) throw error
    screen.error(error.message)
    return INTERRUPTED
  } finally {
    process.off('SIGINT', onInterrupt)
  }
}

function chosenMethod(options: LoginOptions): SignInMethod | undefined {
  const methods = (['device', 'paste', 'import'] as const).filter((method) => options[method])
  if (methods.length > 1) {
    throw new CodexboxError('wrong-use', 'Only one of --device, --paste and --import.')
  }
  return methods[0]
}
