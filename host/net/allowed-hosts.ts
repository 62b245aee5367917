import { isIP } from 'node:net'
import { domainToASCII } from 'node:url'
import { CodexboxError } from '../../shared/errors.ts'
import { addressRefusal } from './public-address.ts'

/** Each host may cause DNS queries. */
const MAX_HOSTS = 100

/**
 * The hosts of `AGENT_NETWORK=allow:HOST,HOST` as a client requests them: lower case, international
 * names in their ASCII form, no dot at the end, each once.
 * @throws CodexboxError `config-invalid`, with the position and fault of an entry, never its text
 */
export function allowedHosts(entries: readonly string[]): string[] {
  const refuse = (what: string) => new CodexboxError('config-invalid', what)
  if (entries.length > MAX_HOSTS) throw refuse(`more than ${MAX_HOSTS} hosts are listed`)
  const hosts = entries.map((entry, index) => {
    const host = nameOf(entry.trim())
    if ('wrong' in host) throw refuse(`host ${index + 1} of the list ${host.wrong}`)
    return host.name
  })
  return [...new Set(hosts)]
}

function nameOf(entry: string): { name: string } | { wrong: string } {
  if (entry === '') return { wrong: 'is empty' }
  if (entry.includes('*')) return { wrong: 'has a wildcard: name each host' }
  if (/[/@?#\\%\s]/.test(entry))
    return { wrong: 'is no host name: give it without scheme and path' }
  if (entry.includes(':')) return { wrong: 'has a port or is IPv6: give the name alone, it is 443' }
  const name = domainToASCII(entry).replace(/\.$/, '')
  if (isIP(name)) {
    // Some resolvers read 0x7f.1 and 2130706433 as addresses.
    if (name !== entry) return { wrong: 'is a number: give the name' }
    const refusal = addressRefusal(name)
    return refusal ? { wrong: `is ${refusal}` } : { name }
  }
  if (!HOST_NAME.test(name) || name.length > 253) {
    return { wrong: 'is no full host name, such as files.pythonhosted.org' }
  }
  return { name }
}

/** Two labels or more: a single label would be looked up in this machine's search domain. */
const HOST_NAME = /^([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?$/
