import { existsSync, readFileSync } from 'node:fs'

/** Whether this process runs in a container: its paths may then differ from the engine's. */
export function isInContainer(): boolean {
  return (
    ['/.dockerenv', '/run/.containerenv'].some((path) => existsSync(path)) ||
    /\/(docker|kubepods|libpod|containerd)[/-]/.test(ownCgroups())
  )
}

function ownCgroups(): string {
  try {
    return readFileSync('/proc/self/cgroup', 'utf8')
  } catch {
    return '' // Not Linux.
  }
}
