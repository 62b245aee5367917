import { execFileSync } from 'node:child_process'
import { createWriteStream, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import type Dockerode from 'dockerode'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { readConfig } from '../../host/config.ts'
import { createDocker } from '../../host/engine/docker-host.ts'
import { buildToolsImage, importRootfs, inspectTools } from '../../host/engine/tools-image.ts'
import { createImageStep } from '../../setup/steps/image.ts'
import { derivedImages } from '../derived-images.ts'
import { describeWithEngine, uniqueName, withoutLeftovers } from '../real-engine.ts'

const folder = mkdtempSync(join(tmpdir(), 'codexbox-image-'))
afterAll(() => {
  rmSync(folder, { recursive: true, force: true })
})

const configFor = (image: string) => readConfig({ AGENT_IMAGE: image }, folder)

describe('the image step without an engine', () => {
  const step = createImageStep({
    connect: () => createDocker({ DOCKER_HOST: `unix://${folder}/nobody-listens.sock` }),
  })

  test.each([[[]], [['--force']], [['--base', 'debian']]])(
    'fails and says so: %j',
    async (args) => {
      const result = await step.run(args, configFor('codexbox-tools:latest'))

      expect(result).toEqual({
        status: 'failed',
        fields: { IMAGE: 'codexbox-tools:latest', IMAGE_STATUS: 'failed' },
        detail: expect.stringContaining('nobody-listens.sock'),
        fix: expect.stringMatching(/^Run this step again/),
      })
    },
  )

  test.each([
    [['--bse', 'debian'], /--bse/],
    [['--base'], /--base/],
    [['--base', ''], /empty/],
    [['--rootfs', 'a.tar', '--base', 'debian'], /exclude each other/],
    [['debian'], /debian/],
  ])('answers wrong use with how to use it: %j', async (args, detail) => {
    const result = await step.run(args, configFor('codexbox-tools:latest'))

    expect(result).toMatchObject({
      status: 'failed',
      detail: expect.stringMatching(detail),
      fix: expect.stringMatching(/--base IMAGE \| --rootfs FILE\.tar/),
    })
  })
})

describe('the progress of an import', () => {
  const rootfs = join(folder, 'any.tar')
  beforeAll(() => {
    writeFileSync(rootfs, 'any')
  })

  test('an error line is a failure, although the answer began with 200', async () => {
    const engine = await anEngineThatAnswers((response) => {
      response.end('{"status":"Importing"}\r\n{"error":"no space left on device"}\r\n')
    })

    await expect(importRootfs(engine.docker, rootfs, 'x:y')).rejects.toMatchObject({
      code: 'image-unusable',
      message: expect.stringContaining('no space left on device'),
    })
    engine.close()
  })

  test('an answer that is cut is a failure', async () => {
    const engine = await anEngineThatAnswers((response) => {
      response.write('{"status":"Importing"}\r\n', () => response.destroy())
    })

    await expect(importRootfs(engine.docker, rootfs, 'x:y')).rejects.toMatchObject({
      code: 'engine-unavailable',
    })
    engine.close()
  })

  test('lines may be cut anywhere, also within a character', async () => {
    const line = Buffer.from('{"error":"kein Platz übrig"}\n')
    const inTheUmlaut = line.indexOf('ü') + 1
    const engine = await anEngineThatAnswers((response) => {
      response.write(line.subarray(0, inTheUmlaut), () => {
        setImmediate(() => response.end(line.subarray(inTheUmlaut)))
      })
    })

    await expect(importRootfs(engine.docker, rootfs, 'x:y')).rejects.toThrow('kein Platz übrig')
    engine.close()
  })
})

async function anEngineThatAnswers(answer: (response: ServerResponse) => void) {
  const server = createServer((request, response) => {
    request.resume().on('end', () => answer(response))
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  const { port } = server.address() as AddressInfo
  const { docker } = createDocker({ DOCKER_HOST: `tcp://127.0.0.1:${port}` })
  return { docker, close: () => server.close() }
}

describeWithEngine('a look at the tools of an image', ({ docker, image }) => {
  const images = derivedImages(docker, image, afterAll)

  test('reports the versions of Node and bash', async () => {
    const tools = await inspectTools(docker, image)

    expect(tools.nodeVersion).toMatch(/^[2-9]\d\.\d+\.\d+$/)
    expect(tools.bashVersion).toMatch(/^\d+\.\d+/)
    await withoutLeftovers(docker, { name: ['codexbox-probe-'], ancestor: [image] })
  })

  test('an image that is not there is missing', async () => {
    await expect(inspectTools(docker, 'codexbox-tools:not-there')).rejects.toMatchObject({
      code: 'image-missing',
      message: expect.stringContaining('no image codexbox-tools:not-there'),
    })
  })

  const breakages = {
    'has no node in its PATH': ['RUN rm "$(command -v node)"'],
    'has no bash': ['RUN rm "$(command -v bash)"'],
    'has Node 18.20.8, which is too old': [
      `RUN echo 'Object.defineProperty(process, "versions", { value: { node: "18.20.8" } })' >/old.js`,
      `RUN mv "$(command -v node)" /opt/node; printf '#!/bin/sh\\nexec /opt/node --require /old.js "$@"' >/usr/bin/node; chmod 755 /usr/bin/node`,
    ],
    'has a node that does not work \\(it says: "wrong libc"\\)': [
      `RUN rm "$(command -v node)"; printf '#!/bin/sh\\necho wrong libc >&2; exit 1' >/usr/bin/node; chmod 755 /usr/bin/node`,
    ],
    // A name in the PATH is not enough: the user of the tools has to be allowed to run it.
    'cannot be started': ['RUN chmod 700 "$(command -v node)"'],
  }
  // Of each of these, most is waiting for the engine.
  test.concurrent.each(Object.entries(breakages))(
    'an image that %s is refused',
    async (what, change) => {
      const broken = await images.derive(change)

      await expect(inspectTools(docker, broken)).rejects.toMatchObject({
        code: 'image-unusable',
        message: expect.stringMatching(new RegExp(`^The image ${broken} ${what}.*--force`, 's')),
      })
      await withoutLeftovers(docker, { ancestor: [broken] })
    },
  )

  test.concurrent('a node that hangs is given up, and its container removed', async () => {
    const hanging = await images.derive([
      `RUN rm "$(command -v node)"; printf '#!/bin/sh\\nsleep 600' >/usr/bin/node; chmod 755 /usr/bin/node`,
    ])

    await expect(inspectTools(docker, hanging, { deadlineMs: 2000 })).rejects.toMatchObject({
      code: 'image-unusable',
      message: expect.stringContaining('did not report its tools within 2 s'),
    })
    await withoutLeftovers(docker, { ancestor: [hanging] })
  })

  test.concurrent('what the image would start by itself, and as whom, is of no importance', async () => {
    const odd = await images.derive(['ENTRYPOINT ["/bin/false"]', 'USER nobody', 'WORKDIR /root'])

    expect(await inspectTools(docker, odd)).toEqual(await inspectTools(docker, image))
  })
})

describeWithEngine('building the tools image', ({ docker, image }) => {
  const images = derivedImages(docker, image)

  test('a base that has everything is used as it is', async () => {
    const tag = images.name()
    const output: string[] = []

    await buildToolsImage(docker, { base: image, tag, fresh: true }, (line) => output.push(line))

    expect(await inspectTools(docker, tag)).toEqual(await inspectTools(docker, image))
    expect(output.join('\n')).toMatch(/Successfully built/)
    expect(output.join('\n')).not.toMatch(/^(Get|Hit|Err):/m)
  })

  test.each([
    ['no Node', ['RUN rm "$(command -v node)"'], 'has no node in its PATH'],
    [
      'an old Node',
      [
        `RUN echo 'Object.defineProperty(process, "versions", { value: { node: "18.20.8" } })' >/old.js`,
        `RUN mv "$(command -v node)" /opt/node; printf '#!/bin/sh\\nexec /opt/node --require /old.js "$@"' >/usr/bin/node; chmod 755 /usr/bin/node`,
      ],
      'has Node 18.20.8; 20 or newer is needed',
    ],
    [
      'no jq and no apt',
      ['RUN rm "$(command -v jq)" "$(command -v apt-get)"'],
      'lacks jq, and has no apt-get',
    ],
  ])('fails with the words of the build: %s', async (_what, change, words) => {
    const base = await images.derive(change)

    await expect(buildToolsImage(docker, { base, tag: images.name() })).rejects.toMatchObject({
      code: 'image-unusable',
      message: expect.stringContaining(`The base image ${words}`),
    })
    await withoutLeftovers(docker, { ancestor: [base] })
  })
})

describeWithEngine('the image step', ({ docker, source, image }) => {
  const images = derivedImages(docker, image)
  const step = createImageStep({ connect: () => ({ docker, source }) })
  // A run that was killed may have left some.
  let candidatesBefore: string[]
  beforeEach(async () => {
    candidatesBefore = await candidates(docker)
  })

  test('leaves an image alone that can be used', async () => {
    const before = await idOf(docker, image)

    const result = await step.run([], configFor(image))

    expect(result).toMatchObject({
      status: 'unchanged',
      fields: {
        IMAGE: image,
        IMAGE_STATUS: 'already_present',
        NODE_VERSION: expect.stringMatching(/^\d+\.\d+\.\d+$/),
      },
    })
    expect(await idOf(docker, image)).toBe(before)
  })

  test('builds on a base that is named, and the second time finds it there', async () => {
    const name = images.name()

    const first = await step.run(['--base', image], configFor(name))
    const second = await step.run([], configFor(name))

    expect(first).toMatchObject({ status: 'done', fields: { IMAGE: name, IMAGE_STATUS: 'built' } })
    expect(second).toMatchObject({ status: 'unchanged' })
    expect(await candidates(docker)).toEqual(candidatesBefore)
  })

  test('imports a root filesystem', { timeout: 120_000 }, async () => {
    const name = images.name()
    const rootfs = await exportRootfs(docker, image, join(folder, 'rootfs.tar'))

    const result = await step.run(['--rootfs', rootfs], configFor(name))

    expect(result).toMatchObject({
      status: 'done',
      fields: { IMAGE: name, IMAGE_STATUS: 'imported', NODE_VERSION: expect.any(String) },
    })
    expect((await inspectTools(docker, name)).bashVersion).toMatch(/^\d/)
    expect(await candidates(docker)).toEqual(candidatesBefore)
  })

  test('does not replace an image that works by one that does not', async () => {
    const name = await images.derive(['LABEL is=good'])
    const before = await idOf(docker, name)
    const broken = await images.derive(['RUN rm "$(command -v node)"'])

    const built = await step.run(['--base', broken], configFor(name))
    const imported = await step.run(['--rootfs', emptyRootfs()], configFor(name))

    expect(built).toMatchObject({ status: 'failed', detail: expect.stringMatching(/no node/) })
    expect(imported).toMatchObject({
      status: 'failed',
      fields: { IMAGE_STATUS: 'failed' },
      detail: expect.stringMatching(/no node in its PATH.*left as it was/),
      fix: expect.stringContaining('make-rootfs.sh'),
    })
    expect(await idOf(docker, name)).toBe(before)
    expect(await candidates(docker)).toEqual(candidatesBefore)
  })

  test('makes ours anew where it cannot be used, and removes the one it replaces', async () => {
    const name = images.name()
    await step.run(['--base', image], configFor(name))
    const replaced = await idOf(docker, name)
    const other = await images.derive(['LABEL is=other'])

    const result = await step.run(['--base', other], configFor(name))

    expect(result.status).toBe('done')
    expect(await idOf(docker, name)).not.toBe(replaced)
    await expect(docker.getImage(replaced).inspect()).rejects.toMatchObject({ statusCode: 404 })
  })

  test('puts nothing under a name that is not ours, unless it is told to', async () => {
    const name = `${uniqueName('foreign')}:1`

    const result = await step.run([], configFor(name))

    expect(result).toMatchObject({
      status: 'failed',
      detail: expect.stringContaining(`no image ${name}. Fetch it with \`docker pull ${name}\`,`),
      fix: expect.stringMatching(/AGENT_IMAGE.*--force/),
    })
    await expect(docker.getImage(name).inspect()).rejects.toMatchObject({ statusCode: 404 })
  })

  test('a file that is not there or no tar is an error in words', async () => {
    const noTar = join(folder, 'no.tar')
    writeFileSync(noTar, 'x'.repeat(2000))

    const missing = await step.run(['--rootfs', '/nowhere.tar'], configFor(images.name()))
    const wrong = await step.run(['--rootfs', noTar], configFor(images.name()))

    expect(missing).toMatchObject({ status: 'failed', detail: expect.stringContaining('ENOENT') })
    expect(wrong).toMatchObject({ status: 'failed', detail: expect.stringContaining(noTar) })
  })
})

const idOf = async (docker: Dockerode, image: string) => (await docker.getImage(image).inspect()).Id

async function candidates(docker: Dockerode): Promise<string[]> {
  const images = await docker.listImages({ filters: { reference: ['codexbox-tools:candidate-*'] } })
  return images.flatMap(({ RepoTags }) => RepoTags ?? [])
}

async function exportRootfs(docker: Dockerode, image: string, file: string): Promise<string> {
  const container = await docker.createContainer({ Image: image, Cmd: ['true'] })
  try {
    await pipeline(await container.export(), createWriteStream(file))
    return file
  } finally {
    await container.remove()
  }
}

function emptyRootfs(): string {
  const file = join(folder, 'empty.tar')
  const content = join(folder, 'empty')
  mkdirSync(join(content, 'etc'), { recursive: true })
  execFileSync('tar', ['-cf', file, '-C', content, 'etc'])
  return file
}
