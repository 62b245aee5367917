import { resolve } from 'node:path'
import { readFileBytes } from '../read-file-bytes.ts'
import { type FunctionTool, ToolError } from '../tool.ts'

export const viewImage: FunctionTool = {
  name: 'view_image',
  description: 'Look at an image file: PNG, JPEG, GIF or WebP, at most 10 MB.',
  parameters: {
    type: 'object',
    properties: {
      path: { type: 'string', description: 'Path, relative to the workspace or absolute.' },
    },
    required: ['path'],
    additionalProperties: false,
  },

  async run(args, { workspace }) {
    const path = args.string('path')
    const bytes = await readFileBytes(resolve(workspace, path), path, MAX_IMAGE_BYTES)
    const type = imageType(bytes)
    if (!type) throw new ToolError(`${path} is not a PNG, JPEG, GIF or WebP image.`)
    const summary = `${type}, ${bytes.length} bytes`
    return {
      ok: true,
      output: `${path}: ${summary}`,
      images: [`data:${type};base64,${bytes.toString('base64')}`],
      summary,
    }
  },
}

const MAX_IMAGE_BYTES = 10 * 1024 * 1024

/** By the first bytes, not by the file's name; undefined for a type that the service does not take. */
function imageType(bytes: Buffer): string | undefined {
  const head = bytes.toString('latin1', 0, 12)
  if (head.startsWith('\x89PNG\r\n\x1a\n')) return 'image/png'
  if (head.startsWith('\xff\xd8\xff')) return 'image/jpeg'
  if (head.startsWith('GIF87a') || head.startsWith('GIF89a')) return 'image/gif'
  if (head.startsWith('RIFF') && head.endsWith('WEBP')) return 'image/webp'
  return undefined
}
