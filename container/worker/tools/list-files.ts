import { lstat, readdir, readlink } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { clip } from '../clipped-output.ts'
import type { Tool } from '../tool.ts'

export const listFiles: Tool = {
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
    const complete = await list(folder, '', args.optionalInteger('depth', 1) ?? 2, entries)
    if (!complete) entries.push(`[only the first ${MAX_ENTRIES} entries are shown]`)
    return {
      ok: true,
      output: entries.length === 0 ? '(empty)' : clip(entries.join('\n'), limits.toolOutputBytes),
      summary: `${entries.length} entries`,
    }
  },
}

const MAX_ENTRIES = 1000
const UNLISTED = new Set(['.git', 'node_modules'])

/** Appends the entries below `folder`; false when there were more than the limit. */
async function list(folder: string, prefix: string, depth: number, entries: string[]) {
  const children = await readdir(folder, { withFileTypes: true })
  children.sort((a, b) => (a.name < b.name ? -1 : 1))
  for (const child of children) {
    if (entries.length >= MAX_ENTRIES) return false
    const name = prefix + child.name
    const path = join(folder, child.name)
    if (child.isDirectory()) {
      entries.push(`${name}/`)
      if (depth > 1 && !UNLISTED.has(child.name)) {
        if (!(await list(path, `${name}/`, depth - 1, entries))) return false
      }
    } else if (child.isSymbolicLink()) {
      entries.push(`${name} -> ${await readlink(path)}`)
    } else {
      entries.push(`${name}  ${(await lstat(path)).size} bytes`)
    }
  }
  return true
}
