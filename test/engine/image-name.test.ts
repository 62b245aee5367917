import http from 'node:http'
import type { AddressInfo } from 'node:net'
import Dockerode from 'dockerode'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { imageSettings } from '../../host/engine/image-settings.ts'
import { describeWithEngine } from '../real-engine.ts'

const NO_NAMES = [
  'Foo Bar',
  'UPPER/x',
  'a:',
  'http://x/y',
  'x@y',
  '-a',
  '/a',
  'a?b',
  'a\nb',
  'a/../b',
  'ä',
]

const refusal = (image: string) =>
  expect.objectContaining({
    code: 'config-invalid',
    message: expect.stringContaining(`AGENT_IMAGE is ${JSON.stringify(image)}, which is no name`),
  })

let engine: http.Server
let docker: Dockerode

/** It refuses as Docker does what it is asked for. */
beforeEach(async () => {
  engine = http.createServer((_, response) => {
    response.writeHead(400, { 'content-type': 'application/json' })
    response.end('{"message":"invalid reference format"}')
  })
  await new Promise<void>((resolve) => engine.listen(0, '127.0.0.1', resolve))
  const { port } = engine.address() as AddressInfo
  docker = new Dockerode({ host: '127.0.0.1', port, protocol: 'http' })
})

afterEach(() => {
  engine.closeAllConnections()
  engine.close()
})

test.each(NO_NAMES)(
  'what is no name of an image is the fault of the setting: %j',
  async (image) => {
    await expect(imageSettings(docker, image, 'the test')).rejects.toEqual(refusal(image))
  },
)

describeWithEngine('a real engine', (real) => {
  test.each(NO_NAMES)('is not blamed for %j', async (image) => {
    const error = await imageSettings(real.docker, image, 'the test').catch((e: unknown) => e)

    expect(['config-invalid', 'image-missing']).toContain((error as { code?: string }).code)
  })

  test('is asked for a name with a registry, a tag and a digest', async () => {
    const image = `registry.example:5000/team/image:1.0@sha256:${'a'.repeat(64)}`

    await expect(imageSettings(real.docker, image, 'the test')).rejects.toMatchObject({
      code: 'image-missing',
    })
  })
})
