import { send } from '../../../net/send.ts'
import { type Check, ok, warning } from '../finding.ts'

/** The `date` header has a resolution of one second, and the response took some time. */
const FAR_MS = 60_000

/** Never a problem: a missing network may come back before the run. */
export const clockCheck: Check = {
  name: 'clock',
  async look({ config: { authIssuer, codexBaseUrl }, env, offline }, signal) {
    if (offline) return ok('Not compared (--offline).')
    const serviceTime = await Promise.any(
      [authIssuer, codexBaseUrl].map((url) => timeAt(new URL('/', url), env, signal)),
    ).catch(() => undefined)
    if (!serviceTime) {
      return warning(
        'The service could not be reached, so the clock was not compared with its own.',
      )
    }
    const apart = Math.abs(Date.now() - serviceTime)
    if (apart <= FAR_MS) return ok('As that of the service.')
    return warning(
      `It is ${Math.round(apart / 1000)} s ${Date.now() > serviceTime ? 'ahead of' : 'behind'} that of the service; tokens may seem to be over, or not to be.`,
      'Set it, or have it set by the network.',
    )
  },
}

/** The `date` header of any response, error or not; the request carries no credentials. */
async function timeAt(url: URL, env: NodeJS.ProcessEnv, signal: AbortSignal): Promise<number> {
  const request = { method: 'GET', headers: {}, signal, keepsAlive: false } as const
  const response = await send(url, { ...request, code: 'model-unreachable' }, env)
  response.body.on('error', () => {}).destroy()
  const time = Date.parse(response.headers.date ?? '')
  if (Number.isNaN(time)) throw new Error('an answer without a date')
  return time
}
