import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import Dockerode from 'dockerode'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createDocker, dockerConnection } from '../../host/engine/docker-host.ts'

let home: string
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'docker-host-'))
})
afterEach(() => {
  rmSync(home, { recursive: true, force: true })
})

/** The decision for a machine that has no socket at any of the usual places, unless named. */
function connection(env: NodeJS.ProcessEnv, sockets: readonly string[] = []) {
  return dockerConnection(env, home, sockets)
}

function write(path: string, content: string): string {
  const file = join(home, path)
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, content)
  return file
}

function aContext(name: string, docker: Record<string, unknown>, folder = '.docker'): string {
  const id = createHash('sha256').update(name).digest('hex')
  const meta = { Name: name, Metadata: {}, Endpoints: { docker } }
  write(`${folder}/contexts/meta/${id}/meta.json`, JSON.stringify(meta))
  return id
}

describe('DOCKER_HOST', () => {
  test.each([
    ['unix:///run/other.sock', { socketPath: '/run/other.sock' }],
    ['unix://', { socketPath: '/var/run/docker.sock' }],
    ['tcp://10.0.0.5:2375', { host: '10.0.0.5', port: '2375', protocol: 'http' }],
    ['tcp://build.example', { host: 'build.example', port: 2375, protocol: 'http' }],
    ['10.0.0.5:4000', { host: '10.0.0.5', port: '4000', protocol: 'http' }],
    ['tcp://[::1]:2375', { host: '::1', port: '2375', protocol: 'http' }],
    ['https://build.example', { host: 'build.example', port: 2376, protocol: 'https' }],
    [
      'ssh://me@build.example',
      { host: 'build.example', username: 'me', protocol: 'ssh', port: 22 },
    ],
  ])('%s is understood as the docker command does', (value, expected) => {
    const { options, source } = connection({ DOCKER_HOST: value })

    expect(options).toMatchObject(expected)
    expect(source).toBe('DOCKER_HOST')
  })

  test('wins over a context and over sockets that are there', () => {
    aContext('colima', { Host: 'unix:///colima.sock' })
    const socket = write('docker.sock', '')
    const env = { DOCKER_HOST: 'unix:///mine.sock', DOCKER_CONTEXT: 'colima' }

    expect(connection(env, [socket]).options.socketPath).toBe('/mine.sock')
  })

  test.each([
    '/var/run/docker.sock',
    'tcp://',
    'fd://3',
    'ssh://me:hunter2@build.example',
    'tcp://hunter2 hunter2:1',
    'tcp://build.example:2375/hunter2',
  ])('%s is refused with a sentence that does not repeat it', (value) => {
    const decide = () => connection({ DOCKER_HOST: value })

    expect(decide).toThrow(expect.objectContaining({ code: 'config-invalid' }))
    expect(decide).toThrow(/DOCKER_HOST/)
    expect(decide).not.toThrow(/hunter2/)
  })
})

describe('TLS', () => {
  test('DOCKER_TLS_VERIFY takes the certificates of DOCKER_CERT_PATH', () => {
    for (const name of ['ca', 'cert', 'key']) write(`certs/${name}.pem`, `the ${name}`)
    const env = {
      DOCKER_HOST: 'tcp://build.example:2376',
      DOCKER_TLS_VERIFY: '1',
      DOCKER_CERT_PATH: join(home, 'certs'),
    }

    expect(connection(env).options).toMatchObject({
      protocol: 'https',
      ca: Buffer.from('the ca'),
      cert: Buffer.from('the cert'),
      key: Buffer.from('the key'),
    })
  })

  test('without DOCKER_CERT_PATH the certificates are those of the configuration folder', () => {
    write('.docker/ca.pem', 'the ca')
    const env = { DOCKER_HOST: 'tcp://build.example', DOCKER_TLS_VERIFY: '1' }

    expect(connection(env).options).toMatchObject({
      protocol: 'https',
      port: 2376,
      ca: Buffer.from('the ca'),
    })
  })

  test('a folder of certificates that is not there is an error, never plain http', () => {
    const env = { DOCKER_HOST: 'tcp://build.example', DOCKER_CERT_PATH: join(home, 'nowhere') }

    expect(() => connection(env)).toThrow(/TLS certificates.*DOCKER_CERT_PATH.*ENOENT/)
  })

  test('a certificate without its key is refused', () => {
    write('certs/cert.pem', 'the cert')
    const env = { DOCKER_HOST: 'tcp://build.example', DOCKER_CERT_PATH: join(home, 'certs') }

    expect(() => connection(env)).toThrow(/only one of cert.pem and key.pem/)
  })

  test('means nothing to a unix socket', () => {
    const env = { DOCKER_HOST: 'unix:///d.sock', DOCKER_TLS_VERIFY: '1', DOCKER_CERT_PATH: '/none' }

    expect(connection(env).options).toMatchObject({ socketPath: '/d.sock', protocol: 'http' })
  })
})

describe('contexts', () => {
  test('the current context of the configuration is used', () => {
    write('.docker/config.json', JSON.stringify({ auths: {}, currentContext: 'colima' }))
    aContext('colima', { Host: 'unix:///colima.sock', SkipTLSVerify: false })

    const { options, source } = connection({}, [write('docker.sock', '')])

    expect(options.socketPath).toBe('/colima.sock')
    expect(source).toBe('context colima')
  })

  test('DOCKER_CONTEXT wins over the current one, and DOCKER_CONFIG moves the folder', () => {
    write('elsewhere/config.json', JSON.stringify({ currentContext: 'one' }))
    aContext('one', { Host: 'unix:///one.sock' }, 'elsewhere')
    aContext('two', { Host: 'unix:///two.sock' }, 'elsewhere')
    const env = { DOCKER_CONFIG: join(home, 'elsewhere') }

    expect(connection(env).options.socketPath).toBe('/one.sock')
    expect(connection({ ...env, DOCKER_CONTEXT: 'two' }).options.socketPath).toBe('/two.sock')
  })

  test('the context "default" stands for the usual sockets', () => {
    write('.docker/config.json', JSON.stringify({ currentContext: 'default' }))
    const socket = write('docker.sock', '')

    expect(connection({}, [socket]).source).toBe(socket)
    expect(connection({ DOCKER_CONTEXT: 'default' }, [socket]).source).toBe(socket)
  })

  test('a context brings its own certificates', () => {
    const id = aContext('remote', { Host: 'tcp://build.example:2376' })
    write(`.docker/contexts/tls/${id}/docker/ca.pem`, 'its ca')

    expect(connection({ DOCKER_CONTEXT: 'remote' }).options).toMatchObject({
      protocol: 'https',
      ca: Buffer.from('its ca'),
    })
  })

  test('a context that is not there is an error that says who named it, not another engine', () => {
    const socket = write('docker.sock', '')

    expect(() => connection({ DOCKER_CONTEXT: 'gone' }, [socket])).toThrow(
      /no Docker context "gone", which DOCKER_CONTEXT names/,
    )
  })

  test('a context that skips the check of the certificate is refused', () => {
    aContext('lax', { Host: 'tcp://build.example:2376', SkipTLSVerify: true })

    expect(() => connection({ DOCKER_CONTEXT: 'lax' })).toThrow(/turns off the check/)
  })

  test.each([
    ['', 'it is not JSON'],
    ['{', 'it is not JSON'],
    ['{ "auths": { "r": { "auth": "hunter2" ', 'it is not JSON'],
    ['[]', 'not as Docker writes it: the whole file'],
    ['{ "currentContext": 7 }', 'not as Docker writes it: currentContext'],
  ])(
    'a config.json that cannot be read counts as none, and is named and not quoted: %s',
    (content, why) => {
      const file = write('.docker/config.json', content)
      const socket = write('docker.sock', '')

      const { options, source } = connection({}, [socket])

      expect(options.socketPath).toBe(socket)
      expect(source).toMatch(new RegExp(`^${socket}; .*${file}.*${why}$`))
      expect(source).not.toContain('hunter2')
    },
  )

  test('what needs no context does not ask config.json for one', () => {
    write('.docker/config.json', '{')
    aContext('one', { Host: 'unix:///one.sock' })

    expect(connection({ DOCKER_CONTEXT: 'one' }).source).toBe('context one')
    expect(connection({ DOCKER_HOST: 'unix:///two.sock' }).source).toBe('DOCKER_HOST')
  })

  test.each(['{}', '{ "currentContext": null }', '{ "currentContext": "" }'])(
    'a config.json without a current context names none: %s',
    (content) => {
      write('.docker/config.json', content)
      const socket = write('docker.sock', '')

      expect(connection({}, [socket]).source).toBe(socket)
    },
  )

  test('a context whose own file cannot be read is an error, and not another engine', () => {
    const id = aContext('one', { Host: 'unix:///one.sock' })
    write(`.docker/contexts/meta/${id}/meta.json`, '{')

    expect(() => connection({ DOCKER_CONTEXT: 'one' }, [write('docker.sock', '')])).toThrow(
      expect.objectContaining({ code: 'config-invalid' }),
    )
  })
})

describe('without any setting', () => {
  test('the first socket that is there is used', () => {
    const second = write('second.sock', '')
    const third = write('third.sock', '')

    const { options, source } = connection({}, [join(home, 'first.sock'), second, third])

    expect(options.socketPath).toBe(second)
    expect(source).toBe(second)
  })

  test('a link to a socket that is gone does not count', () => {
    const stale = join(home, 'stale.sock')
    symlinkSync(join(home, 'gone.sock'), stale)
    const live = write('live.sock', '')

    expect(connection({}, [stale, live]).source).toBe(live)
  })

  test('empty settings count as not set', () => {
    const socket = write('docker.sock', '')
    const env = { DOCKER_HOST: '', DOCKER_CONTEXT: '', DOCKER_CONFIG: '' }

    expect(connection(env, [socket]).source).toBe(socket)
  })

  test('no socket at all is an error that names the places and what to do', () => {
    const decide = () => connection({}, ['/nowhere/a.sock', '/nowhere/b.sock'])

    expect(decide).toThrow(expect.objectContaining({ code: 'engine-unavailable' }))
    expect(decide).toThrow(/\/nowhere\/a\.sock, \/nowhere\/b\.sock.*DOCKER_HOST/)
  })
})

test.each(['127.0.0.1', '[::1]'])('a client for tcp://%s talks to that address', async (host) => {
  const server = createServer((_request, response) => response.end('OK'))
  await new Promise<void>((resolve) => {
    server.listen(0, host.replace(/[[\]]/g, ''), resolve)
  })
  const { port } = server.address() as AddressInfo

  const { docker } = createDocker({ DOCKER_HOST: `tcp://${host}:${port}` })

  expect(String(await docker.ping())).toBe('OK')
  server.close()
})

test('DOCKER_HOST of the process does not leak into the connection of a context', async () => {
  aContext('local', { Host: 'unix:///context.sock' })
  const { options } = connection({ DOCKER_CONTEXT: 'local' })
  const before = process.env.DOCKER_HOST
  process.env.DOCKER_HOST = 'tcp://127.0.0.1:9'

  const { modem } = new Dockerode(options)

  if (before === undefined) delete process.env.DOCKER_HOST
  else process.env.DOCKER_HOST = before
  expect(modem).toMatchObject({ host: undefined, socketPath: '/context.sock', protocol: 'http' })
})
