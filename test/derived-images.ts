import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type Dockerode from 'dockerode'
import { afterEach } from 'vitest'
import { uniqueName } from './real-engine.ts'

/** Images that are removed after each test, or after all of a group that make theirs at the same time. */
export function derivedImages(docker: Dockerode, base: string, afterwards = afterEach) {
  const names: string[] = []
  const label = `codexbox.test=${uniqueName('images')}`
  const name = (): string => {
    const made = `codexbox-tools:${uniqueName('image')}`
    names.push(made)
    return made
  }
  afterwards(async () => {
    for (const made of names.splice(0).reverse()) {
      await docker.getImage(made).remove({ force: true }).catch(notMade)
    }
    // What a failed build got done by then stays in the engine's cache, without a name.
    const filters = { dangling: ['true'], label: [label] }
    for (const { Id } of await docker.listImages({ filters })) {
      await docker.getImage(Id).remove({ force: true }).catch(notMade)
    }
  })
  return {
    name,
    /** An image that differs from `base` by some lines of a Dockerfile. */
    async derive(change: readonly string[]): Promise<string> {
      const tag = name()
      const context = mkdtempSync(join(tmpdir(), 'codexbox-image-'))
      writeFileSync(
        join(context, 'Dockerfile'),
        [`FROM ${base}`, 'USER root', `LABEL ${label}`, ...change, ''].join('\n'),
      )
      const progress = await docker.buildImage(
        { context, src: ['Dockerfile'] },
        { t: tag, rm: true, forcerm: true, networkmode: 'none' },
      )
      for await (const _chunk of progress) {
        // Read to its end, which is when the image is there.
      }
      rmSync(context, { recursive: true })
      return tag
    },
  }
}

/** A test that failed early, or expects a failure, has made no image. */
function notMade(): void {}
