import { proxyFor } from '../../../net/proxy.ts'
import { type Check, type Finding, ok, problem, warning } from '../finding.ts'

/** Shows variable names only: a proxy's URL may contain a password. */
export const proxyCheck: Check = {
  name: 'proxy',
  look({ config: { codexBaseUrl, authIssuer }, env }) {
    return verification(env) ?? route([codexBaseUrl, authIssuer], env)
  },
}

function verification(env: NodeJS.ProcessEnv): Finding | undefined {
  if (env.NODE_TLS_REJECT_UNAUTHORIZED !== '0') return undefined
  return problem(
    'NODE_TLS_REJECT_UNAUTHORIZED=0 is not followed here: anybody on the way could pose as the service.',
    'Unset it; name the certificate of your proxy with NODE_EXTRA_CA_CERTS.',
  )
}

function route(urls: readonly URL[], env: NodeJS.ProcessEnv): Finding {
  const routes = urls.map((url) => ({ host: url.hostname, proxy: proxyFor(url, env) }))
  const broken = routes.find(({ proxy }) => proxy && !proxy.url)
  if (broken) return problem(`${broken.proxy?.variable} is no address of an HTTP proxy.`)
  const proxied = routes.filter(({ proxy }) => proxy)
  const ca = env.NODE_EXTRA_CA_CERTS ? ' NODE_EXTRA_CA_CERTS adds certificates.' : ''
  const unused = !proxied.length && (env.ALL_PROXY ?? env.all_proxy)
  if (unused) return warning('ALL_PROXY is not used here.', 'Set HTTPS_PROXY.')
  if (proxied.length === 0) return ok(`None: the service is asked directly.${ca}`)
  const summary = proxied.map(({ host, proxy }) => `${proxy?.variable} for ${host}`).join(', ')
  return ok(`${summary}.${ca}`)
}
