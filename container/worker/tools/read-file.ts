import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { resolve } from 'node:path'
import { clip } from '../clipped-output.ts'
import { type FunctionTool, ToolError } from '../tool.ts'

export const readFile: FunctionTool = {
  name: 'read_file',
  description:
    'Read a text file. Returns its text as it is, without line numbers. Of a long text the head ' +
    'and the tail are kept: read a part of it with offset and limit.',
  parameters: {
    type: 'object',
    properties: {
      path: { type: 'string', description: 'Path, relative to the workspace or absolute.' },
      offset: { type: 'integer', minimum: 1, description: 'First line to return; 1 is the first.' },
      limit: { type: 'integer', minimum: 1, description: 'Number of lines to return.' },
    },
    required: ['path'],
    additionalProperties: false,
  },

  async run(args, { workspace, limits }) {
    const path = args.string('path')
    const offset = args.optionalInteger('offset', 1) ?? 1
    const limit = args.optionalInteger('limit', 1)

    // Without O_NONBLOCK opening a named pipe would wait for a writer for ever.
    const file = await open(resolve(workspace, path), constants.O_RDONLY | constants.O_NONBLOCK)
    let text: string
    try {
      text = await readText(file, path)
    } finally {
      await file.close()
    }
    // Each line keeps its newline, so that a part is the text as it is, too.
    const lines = text.split(/(?<=\n)/)
    if (offset === 1 && limit === undefined) {
      const output = clip(text, limits.toolOutputBytes)
      return { ok: true, output, summary: `${lines.length} lines` }
    }
    if (offset > lines.length) {
      throw new ToolError(`${path} has ${lines.length} lines; line ${offset} is past its end.`)
    }
    const part = lines.slice(offset - 1, limit === undefined ? undefined : offset - 1 + limit)
    return {
      ok: true,
      output: clip(part.join(''), limits.toolOutputBytes),
      summary: `lines ${offset} to ${offset + part.length - 1} of ${lines.length}`,
    }
  },
}

const MAX_FILE_BYTES = 32 * 1024 * 1024

async function readText(file: FileHandle, path: string): Promise<string> {
  const stats = await file.stat()
  if (stats.isDirectory()) throw new ToolError(`${path} is a folder; use list_files.`)
  if (!stats.isFile()) throw new ToolError(`${path} is not a regular file.`)
  if (stats.size > MAX_FILE_BYTES) {
    throw new ToolError(
      `${path} has ${stats.size} bytes; look at parts of it with bash (head, sed).`,
    )
  }
  const bytes = await file.readFile()
  if (bytes.includes(0)) {
    throw new ToolError(
      `${path} is not a text file (${bytes.length} bytes); use bash to inspect it.`,
    )
  }
  return bytes.toString('utf8')
}
