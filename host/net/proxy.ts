import type { ProxyAgent } from 'undici'

/** The proxy of the environment. */
export interface OutgoingProxy {
  /** The name of the variable. */
  variable: string
  /** It may hold a password: only its origin is printed. Undefined: the value is not a URL. */
  url: URL | undefined
}

/**
 * The proxy for a request to `url`: HTTPS_PROXY, HTTP_PROXY and NO_PROXY, in lower case too. HTTP_PROXY
 * alone also applies to https. Requests to this machine never use a proxy.
 */
export function proxyFor(url: URL, env: NodeJS.Dict<string>): OutgoingProxy | undefined {
  const names = url.protocol === 'https:' ? [...HTTPS, ...HTTP] : HTTP
  const variable = names.find((name) => env[name])
  if (!variable || isLoopback(url.hostname)) return undefined
  if (isExempt(url, env.no_proxy || env.NO_PROXY || '')) return undefined
  return { variable, url: proxyUrl(env[variable] ?? '') }
}

const HTTPS = ['https_proxy', 'HTTPS_PROXY']
const HTTP = ['http_proxy', 'HTTP_PROXY']

/**
 * The pool of tunnels through a proxy. The library loads slower than all other code of a request, so
 * it is loaded only with a proxy.
 */
export async function tunnelsThrough(proxyUrl: URL): Promise<ProxyAgent> {
  const { ProxyAgent } = await import('undici')
  const cached = agents.get(proxyUrl.href)
  if (cached) return cached
  // The tunnel outlives a tool call, for the request after it.
  const agent = new ProxyAgent({
    uri: proxyUrl.href,
    keepAliveTimeout: 60_000,
    requestTls: CHECKED,
    proxyTls: CHECKED,
  })
  agents.set(proxyUrl.href, agent)
  return agent
}

/** Explicit, or NODE_TLS_REJECT_UNAUTHORIZED=0 would expose the token to a man in the middle. */
export const CHECKED = { rejectUnauthorized: true }

const agents = new Map<string, ProxyAgent>()

function proxyUrl(address: string): URL | undefined {
  try {
    // The scheme is often omitted.
    const url = new URL(/^\w+:\/\//.test(address) ? address : `http://${address}`)
    decodeURIComponent(url.username + url.password)
    return url.protocol === 'http:' || url.protocol === 'https:' ? url : undefined
  } catch {
    // The error is dropped: it quotes the value.
    return undefined
  }
}

function isLoopback(hostname: string): boolean {
  return /^((.*\.)?localhost|127(\.\d+){3}|\[::1\]|\[::ffff:7f..:.*\])$/.test(hostname)
}

/** NO_PROXY: names, including their subdomains, with or without a port; or `*`, every host. */
function isExempt({ hostname, port, protocol }: URL, noProxy: string): boolean {
  const ownPort = port || (protocol === 'https:' ? '443' : '80')
  const bare = hostname.replace(/[[\]]/g, '') // The brackets of IPv6 are often omitted.
  const own = [bare, hostname, `${hostname}:${ownPort}`]
  return noProxy
    .toLowerCase()
    .split(/[\s,]+/)
    .map((entry) => entry.replace(/^\*?\./, ''))
    .some((entry) => entry === '*' || own.some((each) => `.${each}`.endsWith(`.${entry}`)))
}
