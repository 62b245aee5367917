/**
 * A process of its own that asks for a usable access token: `renew-in-process.ts DATA_DIR ISSUER`.
 * Prints the token, or the error, as JSON. With GATE set, it waits for a line on stdin first.
 */
import { once } from 'node:events'
import { usableTokens } from '../../host/auth/access-token.ts'
import { fileTokenStore } from '../../host/auth/token-store.ts'

const [dataDir = '', issuer = ''] = process.argv.slice(2)
const { GATE, REJECTED } = process.env

if (GATE) {
  process.stdout.write('ready\n')
  await once(process.stdin, 'data')
  process.stdin.destroy()
}
try {
  const tokens = usableTokens({ store: fileTokenStore(dataDir), issuer: new URL(issuer) })
  const { access_token } = await tokens(REJECTED)
  process.stdout.write(`${JSON.stringify({ access_token })}\n`)
} catch (error) {
  const { code, message } = error as Error & { code?: string }
  process.stdout.write(`${JSON.stringify({ code, message })}\n`)
}
