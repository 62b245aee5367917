import { BlockList, isIP } from 'node:net'
import { networkInterfaces } from 'node:os'

/**
 * Why a container must not reach an address; undefined for an address of the public internet: not
 * this machine, its networks, its cloud's metadata, nor any notation that could lead there. `own` are the
 * addresses of this machine.
 */
export function addressRefusal(address: string, own = ownAddresses()): string | undefined {
  const family = isIP(address) === 6 ? 'ipv6' : 'ipv4'
  // A zone (`%eth0`) names a network of this machine.
  if (!isIP(address) || address.includes('%')) return 'no address'
  if (family === 'ipv6' && !unicast.check(address, family)) return NOT_PUBLIC
  if (special.check(address, family)) return NOT_PUBLIC
  return listOf(own).check(address, family) ? 'an address of this machine' : undefined
}

const NOT_PUBLIC = 'a private or reserved address'

/** The special-purpose registries of IANA (RFC 6890 and later). */
const special = new BlockList()
const V4: [network: string, prefix: number][] = [
  ['0.0.0.0', 8], // "This network"; connects to this machine.
  ['10.0.0.0', 8],
  ['100.64.0.0', 10], // Behind carriers' NAT; some clouds' metadata.
  ['127.0.0.0', 8],
  ['169.254.0.0', 16], // Link-local; most clouds' metadata.
  ['168.63.129.16', 32], // Looks public, and is the host agent of one cloud.
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 4], // Multicast.
  ['240.0.0.0', 4], // Reserved, and broadcast.
]
for (const [network, prefix] of V4) special.addSubnet(network, prefix, 'ipv4')

/**
 * The allocated unicast space of IPv6; outside are loopback, unique local, link-local, multicast, mapped
 * and translated (NAT64) IPv4.
 */
const unicast = new BlockList()
unicast.addSubnet('2000::', 3, 'ipv6')
const V6: [network: string, prefix: number][] = [
  ['2001::', 23], // Protocol assignments: Teredo, which embeds an IPv4 address, and others.
  ['2001:db8::', 32],
  ['2002::', 16], // 6to4, likewise.
  ['3fff::', 20],
]
for (const [network, prefix] of V6) special.addSubnet(network, prefix, 'ipv6')

/** Read on each call: a machine's addresses change. */
function ownAddresses(): string[] {
  return Object.values(networkInterfaces())
    .flatMap((each) => each ?? [])
    .map((each) => each.address)
}

function listOf(addresses: readonly string[]): BlockList {
  const list = new BlockList()
  for (const address of addresses) {
    const [bare = ''] = address.split('%')
    if (isIP(bare)) list.addAddress(bare, isIP(bare) === 6 ? 'ipv6' : 'ipv4')
  }
  return list
}
