import { CodexboxError, messageOf } from '../../shared/errors.ts'
import { holdOwn, type MountSource, releaseSources } from '../workspace/mount-source.ts'
import type { AgentSpec } from './engine.ts'
import { bindsOf } from './sandbox-policy.ts'

/** A bind mount of a container, with its source held open. */
export interface HeldMount {
  target: string
  readOnly: boolean
  /** Absent for the socket folder, which the host makes: a connection proves its identity. */
  source?: MountSource
}

/**
 * All bind mounts of a container. The caller holds those of the workspace; the package's own are held until `release`.
 * @throws CodexboxError `engine-unavailable` when one of the package's own cannot be opened
 */
export function holdMounts(spec: AgentSpec): { mounts: HeldMount[]; release(): void } {
  const heldByCaller = new Map<string, MountSource>(
    [spec.workspace, ...(spec.pinned ?? [])].map((source) => [source.path, source]),
  )
  const own: MountSource[] = []
  const release = () => releaseSources(own.splice(0))
  try {
    const mounts = bindsOf(spec).map(({ path, ...mount }): HeldMount => {
      if (path === spec.socketFolder) return mount
      const source = heldByCaller.get(path) ?? holdOwn(path)
      if (!heldByCaller.has(path)) own.push(source)
      return { ...mount, source }
    })
    return { mounts, release }
  } catch (error) {
    release()
    throw new CodexboxError(
      'engine-unavailable',
      `What a container is to be started with cannot be opened: ${messageOf(error)}. Install codexbox anew.`,
      { cause: error },
    )
  }
}
