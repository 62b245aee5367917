import { chownSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import type { Engine } from '../../host/engine/engine.ts'
import { releaseSources } from '../../host/workspace/mount-source.ts'
import { holdWorkspace, openWorkspace } from '../../host/workspace/open-workspace.ts'
import { pinGit } from '../../host/workspace/pin-git.ts'
import { TOOL_USER } from '../engine/engine-contract.ts'
import { containerScript } from '../fakes/container-script.ts'
import { uniqueName } from '../real-engine.ts'

/**
 * What a shell script prints in a container on `workspace`, run as the tools are: in the place of the
 * agent there is a script that starts it as their user.
 */
export async function shellInContainer(
  engine: Engine,
  options: { workspace: string; pinGit: boolean },
  script: string,
): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'codexbox-script-'))
  try {
    const agentFile = join(folder, 'agent.cjs')
    giveAway(options.workspace)
    const workspace = openWorkspace(options.workspace, folder)
    const user = workspace.user ?? TOOL_USER
    writeFileSync(agentFile, containerScript(asUser(user, script)))
    const held = holdWorkspace(workspace)
    const pinned = options.pinGit ? pinGit(held) : []
    const agent = await engine.start({
      name: uniqueName('shell'),
      agentFile,
      workspace: held,
      pinned,
      socketFolder: undefined,
      network: 'none',
      user,
    })
    const printed = await text(agent.stdout)
    await agent.stop(0)
    releaseSources([held, ...pinned])
    takeBack(options.workspace)
    return printed.trim()
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function asUser(user: { uid: number; gid: number }, script: string): string {
  return `
    const { spawnSync } = require('node:child_process')
    const { stdout } = spawnSync('bash', ['-c', ${JSON.stringify(`exec 2>&1\n${script}`)}], {
      cwd: '/workspace', encoding: 'utf8', ...${JSON.stringify(user)},
    })
    process.stdout.write(stdout, () => process.exit(0))`
}

/** Root cannot write everywhere in a container of ours, so the tools are somebody else there. */
function giveAway(folder: string): void {
  if (process.getuid?.() === 0) chownAll(folder, TOOL_USER.uid, TOOL_USER.gid)
}

/** Git trusts only repositories of its user. */
function takeBack(folder: string): void {
  if (process.getuid?.() === 0) chownAll(folder, 0, 0)
}

function chownAll(folder: string, uid: number, gid: number): void {
  chownSync(folder, uid, gid)
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) chownAll(path, uid, gid)
    else if (entry.isFile()) chownSync(path, uid, gid)
  }
}
