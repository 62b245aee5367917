import { fileTokenStore } from '../../host/auth/token-store.ts'
import type { JsonReply, JsonService } from '../fakes/json-service.ts'
import type { Exchange } from '../fakes/model-server.ts'
import { someTokens } from '../fakes/some-tokens.ts'
import type { Home } from './cli-process.ts'

/** Pages of the service, as a base URL that was set by hand has them. */
export const MODELS = '/backend-api/codex/models'
export const USAGE = '/backend-api/wham/usage'
export const RESPONSES = '/backend-api/codex/responses'

/** Signs in, and returns the environment in which `service` is asked. */
export async function signedIn(home: Home, service: JsonService): Promise<NodeJS.ProcessEnv> {
  await fileTokenStore(home.dataDir).replace(someTokens())
  return {
    AGENT_PROVIDER: 'codex',
    CODEX_BASE_URL: new URL('/backend-api/codex', service.url).href,
    CODEX_AUTH_ISSUER: service.url.href,
  }
}

/** An answer of a model, as the service of an account gives it. */
export function asReply({ status = 200, headers = {}, body }: Exchange): JsonReply {
  if (typeof body !== 'string') return { status, headers, json: body }
  return { status, headers: { 'content-type': 'text/event-stream', ...headers }, text: body }
}
