import type { ProxyAgent } from 'undici'

/** The proxy that the environment names. */
export interface OutgoingProxy {
  /** The variable that names it. */
  variable: string
  /** It may hold a password: only its origin is printed. Undefined: what stands there is no address. */
  url: URL | undefined
}

/**
 * The proxy for a request to `url`: HTTPS_PROXY, HTTP_PROXY and NO_PROXY, in small letters too. Where
 * only HTTP_PROXY is set, it is for https as well. This machine is never reached through a proxy.
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
 * The tunnels through a proxy, kept for the requests to come. The library takes longer to load than
 * all else on the way out, so only who has a proxy loads it.
 */
export async function tunnelsThrough(proxyUrl: URL): Promise<ProxyAgent> {
  const { ProxyAgent } = await import('undici')
  const known = agents.get(proxyUrl.href)
  if (known) return known
  // A tool call may take a while, and the request after it should find the tunnel again.
  const agent = new ProxyAgent({
    uri: proxyUrl.href,
    keepAliveTimeout: 60_000,
    requestTls: CHECKED,
    proxyTls: CHECKED,
  })
  agents.set(proxyUrl.href, agent)
  return agent
}

/** Said, or NODE_TLS_REJECT_UNAUTHORIZED=0 would hand the token to whoever is on the way. */
export const CHECKED = { rejectUnauthorized: true }

const agents = new Map<string, ProxyAgent>()

function proxyUrl(address: string): URL | undefined {
  try {
    // Often written without the scheme.
    const url = new URL(/^\w+:\/\//.test(address) ? address : `http://${address}`)
    decodeURIComponent(url.username + url.password)
    return url.protocol === 'http:' || url.protocol === 'https:' ? url : undefined
  } catch {
    // Whatever is wrong with it, the error quotes it.
    return undefined
  }
}

function isLoopback(hostname: string): boolean {
  return /^((.*\.)?localhost|127(\.\d+){3}|\[::1\]|\[::ffff:7f..:.*\])$/.test(hostname)
}

/** Names, each for all that is below it too, with a port or without; or `*`, everything. */
function isExempt({ hostname, port, protocol }: URL, noProxy: string): boolean {
  const ownPort = port || (protocol === 'https:' ? '443' : '80')
  const bare = hostname.replace(/[[\]]/g, '') // The brackets of IPv6 are often left out.
  const own = [bare, hostname, `${hostname}:${ownPort}`]
  return noProxy
    .toLowerCase()
    .split(/[\s,]+/)
    .map((entry) => entry.replace(/^\*?\./, ''))
    .some((entry) => entry === '*' || own.some((each) => `.${each}`.endsWith(`.${entry}`)))
}
