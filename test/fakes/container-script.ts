import { readFileSync } from 'node:fs'
import { reportFile } from '../../host/package-root.ts'
import type { MountSource } from '../../host/workspace/mount-source.ts'

/** A script that an engine starts in the place of the container script: it reports its mounts before. */
export const containerScript = (source: string) => `${readFileSync(reportFile, 'utf8')}\n${source}`

/** What is mounted nowhere. */
export const someSource = (path: string): MountSource => ({ path, identity: '0:0', kind: 'folder' })
