import { expect, test } from 'vitest'
import { demoProvider } from '../../host/outer/demo/demo-provider.ts'
import { agentFile } from '../../host/package-root.ts'
import { authorizationHeaders } from '../../shared/secrets.ts'
import { aBody, parseStream } from './demo-client.ts'

test('it needs no sign-in and says so', async () => {
  const lines: string[] = []
  const provider = demoProvider({ print: (line) => lines.push(line) })

  await provider.setup()

  expect(provider).toMatchObject({ name: 'demo', containerProvider: agentFile })
  expect(provider.isAuthenticated()).toBe(true)
  expect(lines.join()).toContain('nothing to set up')
})

test('its secrets open its own connection and no other', async () => {
  const provider = demoProvider({ paceMs: 0 })
  const connection = await provider.connect?.()
  if (!connection) throw new Error('no connection')
  const { model } = await connection.settingsFor({})
  const ask = (headers: Record<string, string>) =>
    fetch(connection.responsesUrl, {
      method: 'POST',
      headers: { ...connection.headers, ...headers },
      body: JSON.stringify(aBody({ model })),
    })

  const own = await ask(authorizationHeaders(await connection.getSecrets()))
  const { CODEX_ACCESS_TOKEN = '' } = await demoProvider().getSecrets()
  const foreign = await ask(authorizationHeaders({ CODEX_ACCESS_TOKEN }))

  expect(await provider.getSecrets()).toEqual(await connection.getSecrets())
  expect(parseStream(await own.text()).at(-1)?.type).toBe('response.completed')
  expect(foreign.status).toBe(401)
  await connection.close()
  await expect(ask({})).rejects.toThrow()
})

test('an effort is left out, and the person is told', async () => {
  const connection = await demoProvider().connect?.()
  const settings = await connection?.settingsFor({ effort: 'extreme' })
  await connection?.close()

  expect(settings?.reasoning).toEqual({})
  expect(settings?.notices).toEqual(['The scripted demo knows no effort; "extreme" is left out.'])
})

test('two conversations have a backend each', async () => {
  const provider = demoProvider({ paceMs: 0 })
  const [one, two] = await Promise.all([provider.connect?.(), provider.connect?.()])

  await one?.close()

  expect((await fetch(two?.responsesUrl ?? '')).status).toBe(404)
  await two?.close()
})
