import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { AgentSpec } from './engine.ts'
import { HOME } from './environment.ts'

type User = AgentSpec['user']

/** Files that are made in the folder of the sockets, and where a container has them. */
export const NAME_FILES = { passwd: '/etc/passwd', group: '/etc/group' } as const

export const isNameFile = (target: string) => Object.values<string>(NAME_FILES).includes(target)

/** What the user of the tools is called in a container, in which it has any number. */
export const nameOf = ({ uid }: User) => (uid === 0 ? 'root' : 'agent')

/** Whether an image may lack a name for the user; all have one for root. */
export const needsName = ({ uid }: User) => uid !== 0

/**
 * Programs fail for a user without a name (`whoami`, `os.userInfo()`, `ssh`, `sudo`). The files take the place of the
 * image's, which cannot be read before the container is made. The first line of a number or name is the one that counts.
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
    // For every user of the container, whatever the umask.
    chmodSync(file, 0o644)
  }
}

/** The same on every system. */
const SYSTEM = [
  ['daemon', 1],
  ['bin', 2],
] as const
