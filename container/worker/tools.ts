import type { Tool } from './tool.ts'
import { bash } from './tools/bash.ts'
import { listFiles } from './tools/list-files.ts'
import { readFile } from './tools/read-file.ts'
import { writeFile } from './tools/write-file.ts'

export const tools: readonly Tool[] = [bash, readFile, writeFile, listFiles]
