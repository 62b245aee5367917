import { describe, expect, test } from 'vitest'
import { allowedHosts } from '../../host/net/allowed-hosts.ts'

describe('the list of hosts', () => {
  test.each([
    [
      ['files.pythonhosted.org', 'github.com'],
      ['files.pythonhosted.org', 'github.com'],
    ],
    [[' GitHub.COM ', 'github.com.', 'github.com'], ['github.com']],
    [['bücher.example', 'XN--BCHER-KVA.example'], ['xn--bcher-kva.example']],
    // A dot that looks like another one, and letters that look like others, are what they are.
    [['github。com'], ['github.com']],
    [['ｇithub.com'], ['github.com']],
    [['gіthub.com'], ['xn--gthub-n2e.com']],
    [['files_1.a-b.example'], ['files_1.a-b.example']],
    [['8.8.8.8'], ['8.8.8.8']],
  ])('%j becomes %j', (entries, hosts) => {
    expect(allowedHosts(entries)).toEqual(hosts)
  })

  test.each([
    ['', 'is empty'],
    ['*.example.com', 'wildcard'],
    ['*', 'wildcard'],
    ['https://example.com', 'without scheme'],
    ['example.com/path', 'without scheme'],
    ['user@example.com', 'without scheme'],
    ['example.com#x', 'without scheme'],
    ['ex%61mple.com', 'without scheme'],
    ['exam\nple.com', 'without scheme'],
    ['example.com:443', 'port'],
    ['[::1]', 'port or is IPv6'],
    ['2606:4700::1111', 'port or is IPv6'],
    ['localhost', 'no full host name'],
    ['intranet', 'no full host name'],
    ['.example.com', 'no full host name'],
    ['example..com', 'no full host name'],
    ['-a.example', 'no full host name'],
    ['example.com..', 'no full host name'],
    ['a\0.example', 'no full host name'],
    [`${'a'.repeat(64)}.example`, 'no full host name'],
    [`${'a.'.repeat(130)}example`, 'no full host name'],
    ['127.0.0.1', 'private or reserved'],
    ['169.254.169.254', 'private or reserved'],
    ['10.0.0.1', 'private or reserved'],
    ['127.1', 'is a number'],
    ['2130706433', 'is a number'],
    ['0x08080808', 'is a number'],
    ['010.010.010.010', 'is a number'],
    ['８.8.8.8', 'is a number'],
  ])('%j is refused, without being repeated', (entry, why) => {
    const read = () => allowedHosts(['github.com', entry])

    expect(read).toThrow(why)
    expect(read).toThrow('host 2 of the list')
    if (entry.length > 1) expect(read).not.toThrow(entry)
  })

  test('has an end', () => {
    expect(() => allowedHosts(Array.from({ length: 101 }, (_, at) => `a${at}.example`))).toThrow(
      'more than 100',
    )
  })
})
