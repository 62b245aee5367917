import { isIPv6 } from 'node:net'
import { networkInterfaces } from 'node:os'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { addressRefusal } from '../../host/net/public-address.ts'

describe('an address that is not let through', () => {
  test.each([
    '0.0.0.0',
    '0.1.2.3',
    '10.0.0.0',
    '10.255.255.255',
    '100.64.0.0',
    '100.100.100.200',
    '100.127.255.255',
    '127.0.0.1',
    '127.255.255.255',
    '168.63.129.16',
    '169.254.0.0',
    '169.254.169.254',
    '169.254.170.2',
    '172.16.0.0',
    '172.31.255.255',
    '192.0.0.192',
    '192.0.2.1',
    '192.88.99.1',
    '192.168.0.0',
    '192.168.255.255',
    '198.18.0.0',
    '198.19.255.255',
    '198.51.100.1',
    '203.0.113.1',
    '224.0.0.1',
    '239.255.255.255',
    '240.0.0.1',
    '255.255.255.255',
    '::',
    '::1',
    '::127.0.0.1',
    '::ffff:127.0.0.1',
    '::ffff:7f00:1',
    '::ffff:10.0.0.1',
    '::ffff:8.8.8.8',
    '0:0:0:0:0:ffff:a9fe:a9fe',
    '64:ff9b::7f00:1',
    '64:ff9b::169.254.169.254',
    '64:ff9b:1::a00:1',
    '100::1',
    '2001::1',
    '2001:0:7f00:1::',
    '2001:db8::1',
    '2002:7f00:1::1',
    '2002:a9fe:a9fe::',
    '3fff::1',
    'fc00::1',
    'fd00:ec2::254',
    'fe80::1',
    'fe80::1%lo',
    'fec0::1',
    'ff02::1',
    '2606:4700::1%eth0',
  ])('%s', (address) => {
    expect(addressRefusal(address, [])).toBeDefined()
  })

  test.each([
    '',
    'localhost',
    '2130706433',
    '0x7f000001',
    '017700000001',
    '127.1',
    '1.2.3.4.5',
    ' 8.8.8.8',
  ])('is what is no address at all: %j', (text) => {
    expect(addressRefusal(text, [])).toBe('no address')
  })

  test('is each that this machine has now', () => {
    const own = Object.values(networkInterfaces()).flatMap((each) => each ?? [])

    expect(own.length).toBeGreaterThan(0)
    for (const { address } of own) expect(addressRefusal(address), address).toBeDefined()
  })

  test('is a public one of this machine, in whatever form', () => {
    expect(addressRefusal('93.184.216.34', ['93.184.216.34'])).toContain('this machine')
    expect(addressRefusal('2606:4700:0::1', ['2606:4700::1'])).toContain('this machine')
    expect(addressRefusal('93.184.216.35', ['93.184.216.34'])).toBeUndefined()
  })
})

describe('an address that is let through', () => {
  test.each([
    '1.1.1.1',
    '8.8.8.8',
    '9.255.255.255',
    '11.0.0.0',
    '100.63.255.255',
    '100.128.0.0',
    '126.255.255.255',
    '128.0.0.0',
    '169.253.255.255',
    '169.255.0.0',
    '172.15.255.255',
    '172.32.0.0',
    '192.167.255.255',
    '192.169.0.0',
    '198.17.255.255',
    '198.20.0.0',
    '223.255.255.255',
    '2001:200::1',
    '2001:4860:4860::8888',
    '2003::1',
    '2606:4700::1111',
  ])('%s', (address) => {
    expect(addressRefusal(address, [])).toBeUndefined()
  })
})

/** The same as it is written in the registries, by hand and with plain arithmetic. */
function isSpecial([a, b, c, d]: readonly [number, number, number, number]): boolean {
  return (
    a === 0 ||
    a === 10 ||
    a === 127 ||
    a >= 224 ||
    (a === 100 && b >= 64 && b <= 127) ||
    (a === 169 && b === 254) ||
    (a === 168 && b === 63 && c === 129 && d === 16) ||
    (a === 172 && b >= 16 && b <= 31) ||
    (a === 192 && b === 168) ||
    (a === 192 && b === 0 && (c === 0 || c === 2)) ||
    (a === 192 && b === 88 && c === 99) ||
    (a === 198 && (b === 18 || b === 19)) ||
    (a === 198 && b === 51 && c === 100) ||
    (a === 203 && b === 0 && c === 113)
  )
}

/** Mostly near what is special, where a wrong border would show. */
const octet = (near: number[]) =>
  fc.oneof(fc.constantFrom(...near), fc.integer({ min: 0, max: 255 }))
const octets = fc.tuple(
  octet([0, 9, 10, 11, 100, 126, 127, 128, 168, 169, 172, 192, 198, 203, 223, 224]),
  octet([0, 15, 16, 17, 18, 19, 20, 31, 32, 51, 63, 64, 88, 127, 128, 168, 254]),
  octet([0, 1, 2, 99, 100, 113, 129]),
  octet([0, 16, 255]),
)

test('every IPv4 address is judged as the registries say', () => {
  fc.assert(
    fc.property(octets, (address) => {
      expect(addressRefusal(address.join('.'), []) !== undefined).toBe(isSpecial(address))
    }),
    { numRuns: 5000 },
  )
})

test('no way of writing an IPv4 address into an IPv6 one leads anywhere', () => {
  const prefixes = ['::', '::ffff:', '::ffff:0:', '64:ff9b::', '64:ff9b:1::', 'fe80::', 'fd00::']
  fc.assert(
    fc.property(octets, fc.constantFrom(...prefixes), (address, prefix) => {
      expect(addressRefusal(`${prefix}${address.join('.')}`, [])).toBeDefined()
    }),
  )
})

test('every IPv6 address that is let through is of the global unicast kind', () => {
  fc.assert(
    fc.property(fc.ipV6(), (address) => {
      if (!isIPv6(address) || addressRefusal(address, [])) return
      expect(address).toMatch(/^[23][0-9a-f]{3}:/i)
    }),
    { numRuns: 2000 },
  )
})
