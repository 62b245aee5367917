import type { Tool } from './tool.ts'
import { applyPatch } from './tools/apply-patch.ts'
import { bash } from './tools/bash.ts'
import { listFiles } from './tools/list-files.ts'
import { readFile } from './tools/read-file.ts'
import { searchFiles } from './tools/search-files.ts'
import { viewImage } from './tools/view-image.ts'
import { writeFile } from './tools/write-file.ts'
import { writeStdin } from './tools/write-stdin.ts'

/** In a stable order: the service caches the head of a request, which holds the definitions. */
export const tools: readonly Tool[] = [
  bash,
  writeStdin,
  applyPatch,
  readFile,
  writeFile,
  listFiles,
  searchFiles,
  viewImage,
]
