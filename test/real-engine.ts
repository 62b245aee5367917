import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type Dockerode from 'dockerode'
import { describe, expect, test } from 'vitest'
import { readConfig } from '../host/config.ts'
import { dockerEngine } from '../host/engine/docker-engine.ts'
import { createDocker } from '../host/engine/docker-host.ts'
import { askIfRootless } from '../host/engine/rootless.ts'
import { inspectTools } from '../host/engine/tools-image.ts'
import { messageOf } from '../shared/errors.ts'

/** What tests on a real engine work with. */
export interface RealEngine {
  docker: Dockerode
  /** Where the engine is; for messages. */
  source: string
  /** A tools image that can be used. */
  image: string
  /** Podman has ways of its own in a few places. */
  isPodman: boolean
  /** Without the rights of root, it is asked for some things differently. */
  isRootless: boolean
}

/**
 * `describe` for tests that need a container engine and the tools image. Where there is none they
 * are skipped, and it is said why; with CODEXBOX_REQUIRE_ENGINE=1 they fail, so that a machine
 * which is there to run them cannot pass without.
 */
export function describeWithEngine(name: string, define: (engine: RealEngine) => void): void {
  if ('engine' in found) {
    describe(name, () => define(found.engine))
  } else if (process.env.CODEXBOX_REQUIRE_ENGINE === '1') {
    describe(name, () => {
      test('has the engine that CODEXBOX_REQUIRE_ENGINE asks for', () => {
        throw found.reason
      })
    })
  } else {
    // Said aloud: the usual reporter does not show the titles of what is skipped.
    console.warn(`${name}: the tests with a real engine are skipped. ${messageOf(found.reason)}`)
    describe.skip(name, () => {
      test('needs a container engine', () => {})
    })
  }
}

/** A name of its own for what a test creates: containers, images, label values. */
export function uniqueName(purpose: string): string {
  return `codexbox-test-${purpose}-${randomBytes(6).toString('hex')}`
}

/**
 * Fails when a container is left, running or not, that matches `filters` of the engine's container
 * list, such as `{ label: ['a=b'] }` or `{ ancestor: ['image'] }`; removes it all the same.
 */
export async function withoutLeftovers(
  docker: Dockerode,
  filters: Record<string, string[]>,
): Promise<void> {
  const isRemoving = ({ State }: Dockerode.ContainerInfo) => State === 'removing'
  let left = await docker.listContainers({ all: true, filters })
  // The engine says that one is removed a moment before it stops listing it.
  for (let tries = 0; tries < 100 && left.some(isRemoving); tries++) {
    await sleep(50)
    left = await docker.listContainers({ all: true, filters })
  }
  await Promise.all(
    left.map(({ Id }) => docker.getContainer(Id).remove({ force: true, v: true }).catch(gone)),
  )
  expect(left.map(({ Names, State, Labels }) => ({ Names, State, Labels }))).toEqual([])
}

/** Somebody else removed it in between. */
function gone(): void {}

type Found = { engine: RealEngine } | { reason: unknown }

/** Asked once for each test file, before its tests are collected. */
const found: Found = await findEngine()

async function findEngine(): Promise<Found> {
  try {
    const { image } = readConfig()
    const { docker, source } = createDocker()
    await dockerEngine(docker, image, source).check()
    await inspectTools(docker, image)
    const { Components } = await docker.version()
    const isPodman = Components?.some(({ Name }) => /podman/i.test(Name)) ?? false
    const isRootless = (await askIfRootless(docker)) !== undefined
    return { engine: { docker, source, image, isPodman, isRootless } }
  } catch (reason) {
    return { reason }
  }
}
