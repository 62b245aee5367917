import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { AgentSpec } from './engine.ts'
import { HOME } from './environment.ts'

type User = AgentSpec['user']

/** Files in the socket folder, and their paths in a container. */
export const NAME_FILES = { passwd: '/etc/passwd', group: '/etc/group' } as const

export const isNameFile = (target: string) => Object.values<string>(NAME_FILES).includes(target)

/** The name of the tools' user in a container; its number is arbitrary. */
export const nameOf = ({ uid }: User) => (uid === 0 ? 'root' : 'agent')

/** Whether an image may lack a name for the user; every image has one for root. */
export const needsName = ({ uid }: User) => uid !== 0

/**
 * Programs fail for a user without a name (`whoami`, `os.userInfo()`, `ssh`, `sudo`). The files replace the
 * image's, which cannot be read before the container is created. The first line with a number or name takes precedence.
 */
export function makeNameFiles(folder: string, { uid, gid }: User): void {
  const passwd = [
    `agent:x:${uid}:${gid}:agent:${HOME}:/bin/bash`,
    'root:x:0:0:root:/root:/bin/bash',
    ...SYSTEM.map(([name, id]) => `${name}:x:${id}:${id}:${name}:/:/usr/sbin/nologin`),
    'nobody:x:65534:65534:nobody:/:/usr/sbin/nologin',
  ]
  const group = [
    `agent:x:${gid}:`,
    'root:x:0:',
    ...SYSTEM.map(([name, id]) => `${name}:x:${id}:`),
    'nogroup:x:65534:',
  ]
  for (const [name, lines] of Object.entries({ passwd, group })) {
    const file = join(folder, name)
    writeFileSync(file, `${lines.join('\n')}\n`)
    // Readable by every user of the container, regardless of the umask.
    chmodSync(file, 0o644)
  }
}

/** The same on every system. */
const SYSTEM = [
  ['daemon', 1],
  ['bin', 2],
] as const
