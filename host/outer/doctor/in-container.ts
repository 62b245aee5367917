import { existsSync, readFileSync } from 'node:fs'

/** Whether this process is itself in a container: then its paths may not be those of the engine. */
export function isInContainer(): boolean {
  return (
    ['/.dockerenv', '/run/.containerenv'].some((path) => existsSync(path)) ||
    /\/(docker|kubepods|libpod|containerd)[/-]/.test(ownGroups())
  )
}

function ownGroups(): string {
  try {
    return readFileSync('/proc/self/cgroup', 'utf8')
  } catch {
    return '' // Not Linux.
  }
}
