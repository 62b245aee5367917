import { readFileSync } from 'node:fs'
import { ProxyAgent } from 'undici'

// Stands for the official client: `node official-client.mjs RECORDING …` does what the recording says
// that it did, request by request, whatever is answered.

const [, , file, ...args] = process.argv
const recording = JSON.parse(readFileSync(file, 'utf8'))

if (args[0] === '--version') console.log('codex-cli 0.0.0')
else if (args[0] === 'debug') console.log('{"models":[]}')
else await play()

async function play() {
  const { requests, said, outcome, sent, credentials, exchanges } = recording
  for (let time = 0; time < (credentials?.accountChecks ?? 1); time++) {
    await ask('GET', 'https://chatgpt.com/backend-api/wham/accounts/check')
  }
  for (let time = 0; time < (credentials?.tokenRequests ?? 0); time++) {
    const { headers, body } = credentials.refresh
    await ask('POST', 'https://auth.openai.com/oauth/token', headers, body)
  }
  const layout = sent?.layout ?? []
  for (let index = 0; index < requests; index++) {
    const input = [...layout, ...(exchanges[index]?.echoed ?? [])]
    const body = { ...sent?.body, input }
    await ask('POST', 'https://chatgpt.com/backend-api/codex/responses', sent?.headers, body)
  }
  for (const line of said) {
    const [type, item] = line.split(' ')
    console.log(JSON.stringify({ type, ...(item ? { item: { type: item } } : {}) }))
  }
  process.exitCode = outcome === 'done' ? 0 : 1
}

async function ask(method, url, headers = {}, body = undefined) {
  const answer = await dispatcher().request({
    method,
    origin: new URL(url).origin,
    path: new URL(url).pathname,
    headers: Object.fromEntries(
      Object.entries(headers).map(([name, value]) => [name, value.replace('…', 'x')]),
    ),
    body: body === undefined ? null : JSON.stringify(body),
  })
  await answer.body.dump()
}

function dispatcher() {
  const ca = readFileSync(process.env.CODEX_CA_CERTIFICATE)
  return new ProxyAgent({ uri: process.env.HTTPS_PROXY, requestTls: { ca } })
}
