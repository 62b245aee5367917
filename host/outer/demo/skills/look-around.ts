import type { FinishedCall } from '../conversation.ts'
import { lastCall, type Skill } from '../skill.ts'
import { call } from '../step.ts'
import { failureOf, type Listing, quote, readCommandResult, readListing } from '../tool-outputs.ts'

/** Lists the workspace, reads its most informative file, and reports both. */
export const lookAround: Skill = {
  matches: (prompt) =>
    /\b(look|explore|list|show|inspect|browse|overview|summari[sz]e|describe|read|see)\b|\b(files?|folders?|director(y|ies)|workspace|project|readme)\b|\bin here\b|\bhere\?/i.test(
      prompt,
    ),

  nextStep({ prompt, calls, can }) {
    if (calls.length === 0) {
      const firstCalls = [
        ...(can('list_files') ? [call('list_files', { path: '.', depth: 2 })] : []),
        ...(can('bash') ? [call('bash', { command: 'pwd && uname -sr && node --version' })] : []),
      ]
      if (firstCalls.length === 0) return { text: 'I was given no tool to look around with.' }
      return {
        reasoning: '**Looking around**\n\nWhat is here, and on what machine, can be asked at once.',
        text: 'I will list the workspace and ask where we are.',
        calls: firstCalls,
      }
    }
    const list = lastCall(calls, 'list_files')
    const listing = readListing(list?.output ?? '')
    const path = mostTelling(listing, prompt)
    if (path && can('read_file') && !lastCall(calls, 'read_file')) {
      return {
        reasoning: `**Choosing a file**\n\nOf what is here, ${path} probably says most.`,
        calls: [call('read_file', { path })],
      }
    }
    const parts = [
      list ? describeListing(list, listing) : undefined,
      describeFile(lastCall(calls, 'read_file')),
      describeMachine(lastCall(calls, 'bash')),
    ]
    return { text: parts.filter(Boolean).join('\n\n') }
  },
}

const TELLING = [
  /(^|\/)readme(\.\w+)?$/i,
  /^package\.json$/,
  /^(pyproject|cargo|go)\.(toml|mod)$/i,
  /\.(md|txt|mjs|js|ts|py|sh|json|go|rs|java|c)$/i,
]
const MAX_READ_BYTES = 100_000

function mostTelling({ files }: Listing, prompt: string): string | undefined {
  const readable = files.filter(({ bytes }) => bytes <= MAX_READ_BYTES)
  const named = readable.find(({ path }) => prompt.includes(path.split('/').at(-1) ?? path))
  if (named) return named.path
  for (const pattern of TELLING) {
    const match = readable.find(({ path }) => pattern.test(path))
    if (match) return match.path
  }
  return undefined
}

const MAX_LISTED = 15

function describeListing(list: FinishedCall, { files, folders }: Listing): string {
  const failure = failureOf(list)
  if (failure) return `The workspace could not be listed: ${failure}`
  if (files.length + folders.length === 0) return 'The workspace is empty.'
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0)
  const lines = files.slice(0, MAX_LISTED).map((file) => `- ${file.path} (${file.bytes} bytes)`)
  if (files.length > MAX_LISTED) lines.push(`- and ${files.length - MAX_LISTED} more`)
  const counts = `${many(files.length, 'file')} and ${many(folders.length, 'folder')}`
  return [`The workspace holds ${counts}, ${bytes} bytes in all:`, '', ...lines].join('\n')
}

function describeFile(read: FinishedCall | undefined): string | undefined {
  if (!read) return undefined
  const failure = failureOf(read)
  if (failure) return `${read.arguments.path} could not be read: ${failure}`
  if (!read.output.trim()) return `${read.arguments.path} is empty.`
  return `${read.arguments.path} begins like this:\n\n${quote(read.output.trimEnd(), 8)}`
}

function describeMachine(machine: FinishedCall | undefined): string | undefined {
  if (!machine) return undefined
  const { exitCode, outcome, output } = readCommandResult(machine.output)
  if (exitCode !== 0) return `Asking the machine where we are failed (${outcome}).`
  const [folder, system, node] = output.split('\n')
  return `The tools run in ${folder}, on ${system} with Node ${node}.`
}

function many(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}
