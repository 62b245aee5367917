import { statSync } from 'node:fs'
import { resolve } from 'node:path'

/**
 * Models use apply_patch as a shell command as well: alone, or behind a `cd`. The patch's paths are relative to
 * `folder`. Undefined for any other command, also for a `cd` that would fail.
 */
export function patchIn(
  commandLine: string,
  workspace: string,
): { patch: string; folder: string } | undefined {
  const [, quoted, plain, call] = CALL.exec(commandLine) ?? []
  const patch = call === undefined ? undefined : heredocText(call)
  if (patch === undefined) return undefined
  const folder = resolve(workspace, quoted?.slice(1, -1) ?? plain ?? '')
  const isFolder = statSync(folder, { throwIfNoEntry: false })?.isDirectory()
  return isFolder ? { patch, folder } : undefined
}

/** The text of a here-document, which models put around a patch; undefined for any other text. */
export function heredocText(text: string): string | undefined {
  const [, , , inner] = /^\s*<<\s*(['"]?)(\w+)\1[ \t]*\r?\n([\s\S]*)\n\2\s*$/.exec(text) ?? []
  return inner
}

/** The folder is quoted, or has only characters that a shell takes literally. */
const CALL =
  /^\s*(?:cd\s+(?:('[^']+'|"[^"$`\\]+")|([\w./][\w./@+,:=-]*))\s*&&\s*)?apply_patch(\s*<<[\s\S]*)$/
