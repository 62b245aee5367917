import { createHash } from 'node:crypto'
import type { Item } from '../../shared/items.ts'
import type { ModelForm } from '../../shared/protocol.ts'
import type { Tool } from '../worker/tool.ts'
import { tools } from '../worker/tools.ts'

/** Where the tools go in a request: into its `tools`, or into the first item of its `input`. */
export type ToolDefinitions = { tools: readonly object[] } | { item: Item }

/**
 * The tool definitions for a model of this form. The same for every request of a conversation, to the
 * byte: the service caches the head of a request.
 */
export function toolDefinitions(form: ModelForm, conversationId: string): ToolDefinitions {
  const own = offeredTools(form).map(definition)
  const hosted = form.webSearch ? [webSearch] : []
  if (!form.lite) return { tools: [...own, ...hosted] }
  const namespace = { type: 'namespace', name: 'functions', description: '', tools: own }
  return {
    item: {
      type: 'additional_tools',
      id: `at_${uuidOf(conversationId)}`,
      role: 'developer',
      tools: [namespace, ...hosted],
    },
  }
}

/** The tools that the worker runs for a model of this form. */
export function offeredTools(form: ModelForm): readonly Tool[] {
  return tools.filter(({ name }) => {
    if (name === 'apply_patch') return form.applyPatch
    if (name === 'view_image') return form.images
    return true
  })
}

/** Run by the service itself. */
const webSearch = {
  type: 'web_search',
  external_web_access: true,
  search_content_types: ['text', 'image'],
}

function definition(tool: Tool): object {
  const { name, description } = tool
  return 'grammar' in tool
    ? {
        type: 'custom',
        name,
        description,
        format: { type: 'grammar', syntax: 'lark', definition: tool.grammar },
      }
    : { type: 'function', name, description, strict: false, parameters: tool.parameters }
}

/** Derived, so that it stays the same when the conversation continues in another container. */
function uuidOf(conversationId: string): string {
  const hash = createHash('sha256').update(`additional_tools ${conversationId}`).digest('hex')
  // Version 8 of RFC 9562: a custom UUID.
  const parts = [hash.slice(0, 8), hash.slice(8, 12), `8${hash.slice(13, 16)}`]
  return [...parts, `8${hash.slice(17, 20)}`, hash.slice(20, 32)].join('-')
}
