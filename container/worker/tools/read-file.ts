import { resolve } from 'node:path'
import { clip } from '../clipped-output.ts'
import { exactText, notExact } from '../exact-text.ts'
import { readTextBytes } from '../read-file-bytes.ts'
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

    const bytes = await readTextBytes(resolve(workspace, path), path, MAX_FILE_BYTES)
    const exact = exactText(bytes)
    const text = exact ?? bytes.toString('utf8')
    const note =
      exact === undefined ? `${notExact(path)} [do not write it back; change it with bash]\n` : ''
    // Each line keeps its newline, so that a part is verbatim, too.
    const lines = text.split(/(?<=\n)/)
    if (offset === 1 && limit === undefined) {
      const output = note + clip(text, limits.toolOutputBytes)
      return { ok: true, output, summary: `${lines.length} lines` }
    }
    if (offset > lines.length) {
      throw new ToolError(`${path} has ${lines.length} lines; line ${offset} is past its end.`)
    }
    const part = lines.slice(offset - 1, limit === undefined ? undefined : offset - 1 + limit)
    return {
      ok: true,
      output: note + clip(part.join(''), limits.toolOutputBytes),
      summary: `lines ${offset} to ${offset + part.length - 1} of ${lines.length}`,
    }
  },
}

const MAX_FILE_BYTES = 32 * 1024 * 1024
