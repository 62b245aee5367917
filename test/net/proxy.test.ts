import { expect, test } from 'vitest'
import { proxyFor } from '../../host/net/proxy.ts'

const SERVICE = 'https://chatgpt.com/backend-api/codex/responses'
const variable = (url: string, env: NodeJS.Dict<string>) => proxyFor(new URL(url), env)?.variable

test.each<[string, NodeJS.Dict<string>, string | undefined]>([
  [SERVICE, {}, undefined],
  [SERVICE, { HTTPS_PROXY: '' }, undefined],
  [SERVICE, { HTTPS_PROXY: 'http://p:1' }, 'HTTPS_PROXY'],
  [SERVICE, { https_proxy: 'http://p:1', HTTPS_PROXY: 'http://q:1' }, 'https_proxy'],
  [SERVICE, { https_proxy: '', HTTPS_PROXY: 'http://q:1' }, 'HTTPS_PROXY'],
  [SERVICE, { HTTP_PROXY: 'http://p:1' }, 'HTTP_PROXY'],
  [SERVICE, { http_proxy: 'http://p:1', HTTPS_PROXY: 'http://q:1' }, 'HTTPS_PROXY'],
  ['http://10.0.0.1:8080/', { http_proxy: 'http://p:1' }, 'http_proxy'],
  ['http://10.0.0.1:8080/', { HTTPS_PROXY: 'http://p:1' }, undefined],
])('for %s with %j the proxy is that of %s', (url, env, expected) => {
  expect(variable(url, env)).toBe(expected)
})

test.each([
  'http://localhost:1455/',
  'http://127.0.0.1:8080/',
  'https://127.1.2.3/',
  'http://[::1]:8080/',
  'http://[::ffff:127.0.0.1]/',
  'http://issuer.localhost/',
])('%s is this machine, and never reached through a proxy', (url) => {
  expect(variable(url, { HTTPS_PROXY: 'http://p:1', HTTP_PROXY: 'http://p:1' })).toBeUndefined()
})

test.each([
  '*',
  'chatgpt.com',
  'CHATGPT.COM',
  '.chatgpt.com',
  '*.chatgpt.com',
  'com',
  'chatgpt.com:443',
  'example.com, chatgpt.com',
  'example.com chatgpt.com',
  'example.com,*',
])('NO_PROXY=%j keeps the proxy out', (no) => {
  expect(variable(SERVICE, { HTTPS_PROXY: 'http://p:1', NO_PROXY: no })).toBeUndefined()
  expect(variable(SERVICE, { HTTPS_PROXY: 'http://p:1', no_proxy: no })).toBeUndefined()
})

test.each(['', ',', 'gpt.com', 'api.chatgpt.com', 'chatgpt.com:80', 'chatgpt.com.example'])(
  'NO_PROXY=%j does not',
  (no) => {
    expect(variable(SERVICE, { HTTPS_PROXY: 'http://p:1', NO_PROXY: no })).toBe('HTTPS_PROXY')
  },
)

test.each(['fd00::1', '[fd00::1]', '[fd00::1]:8080'])('NO_PROXY=%j does, by address', (no) => {
  const env = { HTTP_PROXY: 'http://p:1', NO_PROXY: no }

  expect(variable('http://[fd00::1]:8080/', env)).toBeUndefined()
})

test.each<[string, string | undefined]>([
  ['http://proxy.example:3128', 'http://proxy.example:3128'],
  ['https://proxy.example', 'https://proxy.example'],
  ['proxy.example:3128', 'http://proxy.example:3128'],
  ['name:password@proxy.example:3128', 'http://proxy.example:3128'],
  ['http://', undefined],
  ['http://100%:x@proxy.example', undefined],
  ['socks5://proxy.example:1080', undefined],
  ['two words', undefined],
])('a proxy that is set to %j is taken for %s', (address, expected) => {
  expect(proxyFor(new URL(SERVICE), { HTTPS_PROXY: address })?.url?.origin).toBe(expected)
})
