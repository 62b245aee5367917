import { randomUUID } from 'node:crypto'
import { mkdir, open, readlink, realpath, rename, rm, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { systemCodeOf } from '../../../shared/errors.ts'
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
    await mkdir(dirname(target), { recursive: true })
    await replace(target, content, before?.mode)

    const bytes = Buffer.byteLength(content)
    const verb = before ? 'replaced' : 'created'
    return {
      ok: true,
      output: `${verb} ${path} (${bytes} bytes)`,
      summary: `${verb}, ${bytes} bytes`,
    }
  },
}

/** A full disk or a kill in the middle must leave the old file whole: written beside it, then renamed. */
async function replace(target: string, content: string, mode: number | undefined): Promise<void> {
  // Not the name with something added, which may be too long then.
  const temporary = join(dirname(target), `.${randomUUID()}.tmp`)
  try {
    const file = await open(temporary, 'wx', mode === undefined ? 0o666 : mode & 0o777)
    try {
      await file.writeFile(content)
      if (mode !== undefined) await file.chmod(mode & 0o777)
    } finally {
      await file.close()
    }
    await rename(temporary, target)
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
}

/** A link stays a link: what it points to is replaced, or made if there is nothing yet. */
async function followLinks(path: string): Promise<string> {
  try {
    return await realpath(path)
  } catch (error) {
    if (systemCodeOf(error) !== 'ENOENT') throw error
  }
  const next = await linkTarget(path)
  return next === undefined ? path : followLinks(next)
}

/** Undefined when `path` is not there, or is a file by now: another call may just have made it. */
async function linkTarget(path: string): Promise<string | undefined> {
  try {
    return resolve(await realpath(dirname(path)), await readlink(path))
  } catch (error) {
    const code = systemCodeOf(error)
    if (code === 'ENOENT' || code === 'EINVAL') return undefined
    throw error
  }
}

async function existing(path: string) {
  try {
    return await stat(path)
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return undefined
    throw error
  }
}
