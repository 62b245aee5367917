import { execFile } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { copyCheckout, linkPackages, root } from './checkout-copy.ts'

const execute = promisify(execFile)

const folder = realpathSync(mkdtempSync(join(tmpdir(), 'codexbox-package-')))
/** A copy of the repository, where it is packed. */
const checkout = join(folder, 'checkout')
/** A project that has the package installed. */
const project = join(folder, 'project')
const installed = join(project, 'node_modules', 'codexbox')
/** Where somebody else works, with a home of their own. */
const elsewhere = join(folder, 'elsewhere')
const home = join(folder, 'home')
const env = {
  PATH: process.env.PATH,
  HOME: home,
  AGENT_ENGINE: 'process',
  AGENT_PROVIDER: 'demo',
  npm_config_cache: join(folder, 'npm-cache'),
  npm_config_update_notifier: 'false',
  npm_config_offline: 'true',
}

beforeAll(async () => {
  for (const path of [checkout, installed, elsewhere, home]) mkdirSync(path, { recursive: true })
  copyCheckout(checkout)

  await execute('npm', ['pack', '--silent', '--pack-destination', folder], { cwd: checkout, env })
  const [tarball = ''] = readdirSync(folder).filter((file) => file.endsWith('.tgz'))
  await execute('tar', ['-xzf', join(folder, tarball), '--strip-components=1', '-C', installed])

  // What `npm install` does with it, short of asking a registry.
  const { dependencies, bin } = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8'))
  linkPackages(Object.keys(dependencies), project)
  mkdirSync(join(project, 'node_modules', '.bin'))
  for (const [name, file] of Object.entries<string>(bin)) {
    symlinkSync(join('..', 'codexbox', file), join(project, 'node_modules', '.bin', name))
  }
}, 60_000)

afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** Runs a command of the installed package, as a file that can be executed. */
const run = (name: string, ...args: string[]) =>
  execute(join(project, 'node_modules', '.bin', name), args, { cwd: elsewhere, env })

const filesIn = (path: string) =>
  readdirSync(path, { recursive: true, encoding: 'utf8' }).filter((file) =>
    statSync(join(path, file)).isFile(),
  )

describe('the package', () => {
  test('holds what is needed to run and to read, and nothing else', () => {
    const wanted =
      /^(package\.json|README\.md|LICENSE|CHANGELOG\.md|container\/Dockerfile|docs\/.+|dist\/container\/((agent|report)\.(cjs|meta\.json)|seccomp-podman\.json)|dist\/autorun\/scan-process\.cjs|dist\/(host|setup|shared)\/.+\.(js|d\.ts))$/
    const files = filesIn(installed)

    expect(files.filter((file) => !wanted.test(file))).toEqual([])
    const needed = ['index.js', 'index.d.ts', 'auth/renewal/renewal-process.js'].map(
      (file) => `dist/host/${file}`,
    )
    const scripts = ['container/agent.cjs', 'container/report.cjs', 'autorun/scan-process.cjs']
    const others = [...scripts, 'container/seccomp-podman.json']
    for (const file of [...needed, ...others.map((file) => `dist/${file}`)]) {
      expect(files).toContain(file)
    }
  })

  test('says nothing about the machine it was made on', () => {
    const telling = filesIn(installed).filter((file) => {
      const text = readFileSync(join(installed, file), 'utf8')
      return text.includes(checkout) || text.includes(root)
    })

    expect(telling).toEqual([])
  })

  test('has all packages it imports among its dependencies', () => {
    const { dependencies } = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8'))
    const imported = filesIn(join(installed, 'dist'))
      .filter((file) => file.endsWith('.js'))
      .flatMap((file) => {
        const text = readFileSync(join(installed, 'dist', file), 'utf8')
        const named = /^(?:import|export) .*?from '([^'.][^']*)'|import\('([^'.][^']*)'\)/gm
        return [...text.matchAll(named)].map(([, atHead, later]) => atHead ?? later)
      })
      .filter((name) => !name?.startsWith('node:'))

    expect([...new Set(imported)].sort()).toEqual(Object.keys(dependencies).sort())
  })
})

describe('installed in another project', () => {
  test('codexbox makes a run in the current folder and keeps its data in the home folder', async () => {
    const { stdout } = await run(
      'codexbox',
      'run',
      '--session',
      'mine',
      'run: echo made > made.txt',
    )

    expect(stdout).toContain('This was a scripted demo')
    expect(readFileSync(join(elsewhere, 'made.txt'), 'utf8')).toBe('made\n')
    expect(readdirSync(join(home, '.codexbox', 'sessions'))).toEqual(['mine.jsonl'])
  })

  test('what an agent has planted is found by the process that comes with it', async () => {
    const { stderr } = await run('codexbox', 'run', 'run: echo x > .envrc')

    expect(stderr).toContain('.envrc: it runs when the folder is entered')
    expect(stderr).not.toContain('not all read')
  })

  test('a sign-in is renewed by the process that comes with it', async () => {
    const script = join(installed, 'dist', 'host', 'auth', 'renewal', 'renew-in-process.js')
    const renew = `const { renewInProcess } = await import(process.argv[1])
      const renew = renewInProcess({ dataDir: process.argv[2], issuer: new URL('http://127.0.0.1:9') })
      await renew({ accessToken: 'some', wasRejected: false }).catch(({ code }) => console.log(code))`
    const args = ['--input-type=module', '-e', renew, script, join(home, '.codexbox')]

    const { stdout } = await execute(process.execPath, args, { cwd: elsewhere, env })

    expect(stdout).toBe('not-signed-in\n')
  })

  test('codexbox-setup runs its steps, and is what the messages name', async () => {
    const { stdout } = await run('codexbox-setup', '--step', 'environment')

    expect(stdout).toContain('=== NANOCLAW SETUP: ENVIRONMENT ===')
    expect(stdout).toContain('AGENT_SCRIPT: built')
    await expect(run('codexbox-setup')).rejects.toMatchObject({
      code: 4,
      stderr: expect.stringContaining('Use: codexbox-setup --step <name>'),
    })
  })

  test('its types hold for a strict project, and so does the example in the README', async () => {
    const example = readFileSync(join(checkout, 'docs', 'examples', 'embed.ts'), 'utf8')
    writeFileSync(join(project, 'package.json'), '{ "type": "module" }')
    writeFileSync(join(project, 'embed.ts'), example)
    writeFileSync(
      join(project, 'provider.ts'),
      `import codex, { CodexboxError, openConversation, type ProviderPlugin } from 'codexbox'
       export const plugin: ProviderPlugin = codex
       export const secrets: Promise<Record<string, string>> = codex.getSecrets()
       export const isOurs = (error: unknown) => error instanceof CodexboxError && error.code === 'wrong-use'
       const conversation = await openConversation({ session: 'mine', settings: { engine: 'process' } })
       for await (const event of conversation.run('Go.')) {
         // @ts-expect-error There is no such event, so these are no loose types.
         if (event.type === 'surprise') break
       }`,
    )
    linkPackages(['@types', 'undici-types'], project)

    const options = ['--noEmit', '--strict', '--exactOptionalPropertyTypes', '--types', 'node']
    const tsc = join(root, 'node_modules', '.bin', 'tsc')
    const files = ['embed.ts', 'provider.ts']
    await execute(tsc, [...options, '--target', 'es2023', '--module', 'nodenext', ...files], {
      cwd: project,
    }).catch((error: Error & { stdout: string }) => {
      throw new Error(error.stdout || error.message)
    })
  })
})

/** Builds, which take seconds on a machine that has nothing else to do. */
describe('a fresh clone', { timeout: 120_000 }, () => {
  const npmLog = join(folder, 'npm.log')
  const stamp = () => statSync(join(checkout, 'dist', 'host', 'cli.js')).mtimeMs

  /** `npm start` and `npm test` begin with this. Stands in for npm, which would ask a registry. */
  async function ready() {
    const npm = join(folder, 'npm.cjs')
    writeFileSync(
      npm,
      `require('fs').appendFileSync(${JSON.stringify(npmLog)}, process.argv[2] + '\\n')`,
    )
    const { stdout, stderr } = await execute(
      process.execPath,
      [join(checkout, 'scripts', 'ready.mjs')],
      { cwd: elsewhere, env: { ...env, npm_execpath: npm } },
    )
    expect(stdout).toBe('')
    return stderr
  }

  test('is installed and built once, and built again when its code has changed', async () => {
    rmSync(join(checkout, 'dist'), { recursive: true })

    expect(await ready()).toMatch(/Installing packages.*\n.*Building/s)
    expect(existsSync(join(checkout, 'dist', 'container', 'agent.cjs'))).toBe(true)
    expect(readFileSync(npmLog, 'utf8')).toBe('ci\n')

    const built = stamp()
    expect(await ready()).toBe('')
    expect(stamp()).toBe(built)

    writeFileSync(join(checkout, 'host', 'added.ts'), 'export const added = 1\n')
    expect(await ready()).toBe('Building …\n')
    expect(existsSync(join(checkout, 'dist', 'host', 'added.js'))).toBe(true)
    expect(readFileSync(npmLog, 'utf8')).toBe('ci\n')
  })

  test('whose build fails is not taken for built', async () => {
    writeFileSync(join(checkout, 'host', 'added.ts'), 'export const added: string = 1\n')

    await expect(ready()).rejects.toMatchObject({ code: 1 })
    await expect(ready()).rejects.toMatchObject({ code: 1 })
  })
})
