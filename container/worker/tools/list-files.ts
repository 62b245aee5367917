import type { Dirent } from 'node:fs'
import { promises as fs } from 'node:fs'
import { join, resolve } from 'node:path'
import { clip } from '../clipped-output.ts'
import { LEFT_OUT_FOLDERS } from '../left-out-folders.ts'
import type { FunctionTool } from '../tool.ts'

export const listFiles: FunctionTool = {
  name: 'list_files',
  description:
    'List a folder: one entry a line, folders with a trailing slash, files with their size. ' +
    'What .git and node_modules hold is left out.',
  parameters: {
    type: 'object',
    properties: {
      path: {
        type: 'string',
        description: 'Folder, relative to the workspace; default: the workspace.',
      },
      depth: { type: 'integer', minimum: 1, description: 'How many levels to show; default 2.' },
    },
    required: [],
    additionalProperties: false,
  },

  async run(args, { workspace, limits }) {
    const folder = resolve(workspace, args.optionalString('path') ?? '.')
    const entries: string[] = []
    const depth = args.optionalInteger('depth', 1) ?? 2
    const complete = await list(folder, '', depth, entries)
    const shown = complete ? `${entries.length} entries` : `the first ${entries.length} entries`
    if (!complete) entries.push(`[only ${shown} are shown]`)
    return {
      ok: true,
      output: entries.length === 0 ? '(empty)' : clip(entries.join('\n'), limits.toolOutputBytes),
      summary: shown,
    }
  },
}

const MAX_ENTRIES = 1000
const UNREADABLE = ' (cannot be read)'

/**
 * Appends the entries below `folder`; false when there were more than the limit. An entry that cannot
 * be read, or is gone in the meantime, is marked, and the rest is shown. Throws for `folder` itself.
 */
async function list(
  folder: string,
  prefix: string,
  depth: number,
  entries: string[],
): Promise<boolean> {
  const children = await fs.readdir(folder, { withFileTypes: true })
  children.sort((a, b) => (a.name < b.name ? -1 : 1))
  for (const child of children) {
    if (entries.length >= MAX_ENTRIES) return false
    const name = prefix + child.name
    const path = join(folder, child.name)
    if (!child.isDirectory()) {
      entries.push(await describe(child, name, path).catch(() => `${name}${UNREADABLE}`))
      continue
    }
    const index = entries.push(`${name}/`) - 1
    if (depth === 1 || LEFT_OUT_FOLDERS.includes(child.name)) continue
    const complete = await list(path, `${name}/`, depth - 1, entries).catch(() => {
      entries[index] += UNREADABLE
      return true
    })
    if (!complete) return false
  }
  return true
}

async function describe(child: Dirent, name: string, path: string): Promise<string> {
  return child.isSymbolicLink()
    ? `${name} -> ${await fs.readlink(path)}`
    : `${name}  ${(await fs.lstat(path)).size} bytes`
}
