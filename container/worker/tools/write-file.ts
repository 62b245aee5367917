import { resolve } from 'node:path'
import { commitFiles } from '../commit-files.ts'
import { exactText } from '../exact-text.ts'
import { existing, followLinks } from '../follow-links.ts'
import { readFileBytes } from '../read-file-bytes.ts'
import { type FunctionTool, ToolError } from '../tool.ts'

export const writeFile: FunctionTool = {
  name: 'write_file',
  description:
    'Write a text file, replacing what was there. Missing folders are made. The whole content has ' +
    'to be given; to change a small part of a large file use bash.',
  parameters: {
    type: 'object',
    properties: {
      path: { type: 'string', description: 'Path, relative to the workspace or absolute.' },
      content: { type: 'string', description: 'The whole new content of the file.' },
    },
    required: ['path', 'content'],
    additionalProperties: false,
  },

  async run(args, { workspace }) {
    const path = args.string('path')
    const content = args.string('content')

    const target = await followLinks(resolve(workspace, path))
    const before = await existing(target)
    if (before && !before.isFile()) throw new ToolError(`${path} exists and is not a regular file.`)
    if (before) await refuseOtherEncoding(target, path, before.size)
    await commitFiles([{ target, before, content, mode: before?.mode }])

    const bytes = Buffer.byteLength(content)
    const verb = before ? 'replaced' : 'created'
    return {
      ok: true,
      output: `${verb} ${path} (${bytes} bytes)`,
      summary: `${verb}, ${bytes} bytes`,
    }
  },
}

const MAX_CHECKED_BYTES = 32 * 1024 * 1024

/** read_file lost bytes of such a file; writing that text back would lose them for good. */
async function refuseOtherEncoding(target: string, path: string, size: number): Promise<void> {
  if (size > MAX_CHECKED_BYTES) return
  const bytes = await readFileBytes(target, path, MAX_CHECKED_BYTES)
  if (exactText(bytes) !== undefined) return
  throw new ToolError(
    `${path} is not UTF-8, and would be in another encoding than before. Change it with bash (iconv, sed), ` +
      'or remove it first.',
  )
}
