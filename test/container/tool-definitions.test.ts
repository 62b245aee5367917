import { expect, test } from 'vitest'
import { offeredTools, toolDefinitions } from '../../container/agent/tool-definitions.ts'
import type { ModelForm } from '../../shared/protocol.ts'

const aForm = (given: Partial<ModelForm> = {}): ModelForm => ({
  lite: false,
  applyPatch: true,
  images: true,
  webSearch: true,
  compaction: 'summary',
  ...given,
})

interface Definition {
  type: string
  name?: string
  strict?: boolean
  parameters?: { type: string; additionalProperties: boolean }
  format?: { type: string; syntax: string; definition: string }
}

function definitions(form: ModelForm): Definition[] {
  const made = toolDefinitions(form, 'thread')
  return ('tools' in made ? made.tools : []) as Definition[]
}

const names = (form: ModelForm) => definitions(form).map(({ name, type }) => name ?? type)

const ALL = [
  ...['bash', 'write_stdin', 'apply_patch', 'read_file', 'write_file', 'list_files'],
  ...['search_files', 'view_image', 'web_search'],
]

test('every tool is defined, in an order that stays', () => {
  expect(names(aForm())).toEqual(ALL)
  expect(JSON.stringify(definitions(aForm()))).toBe(JSON.stringify(definitions(aForm())))
})

test.each([
  [{ applyPatch: false }, 'apply_patch'],
  [{ images: false }, 'view_image'],
  [{ webSearch: false }, 'web_search'],
] as const)('a model with %j is not told of %s', (given, left) => {
  expect(names(aForm(given))).toEqual(ALL.filter((name) => name !== left))
  expect(offeredTools(aForm(given)).map(({ name }) => name)).not.toContain(left)
})

test('functions are defined by a schema, and apply_patch by a grammar', () => {
  for (const definition of definitions(aForm({ webSearch: false }))) {
    if (definition.name === 'apply_patch') {
      expect(definition).toMatchObject({
        type: 'custom',
        format: { type: 'grammar', syntax: 'lark', definition: expect.stringMatching(/^start: /) },
      })
    } else {
      expect(definition).toMatchObject({
        type: 'function',
        strict: false,
        parameters: { type: 'object', additionalProperties: false },
      })
    }
  }
})

test('the service searches the web itself', () => {
  expect(definitions(aForm()).at(-1)).toEqual({
    type: 'web_search',
    external_web_access: true,
    search_content_types: ['text', 'image'],
  })
})

test('a lite model finds the same tools in an item, the same all through a conversation', () => {
  const made = toolDefinitions(aForm({ lite: true }), 'thread')
  const id = expect.stringMatching(
    /^at_[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$/,
  )

  const own = definitions(aForm({ webSearch: false }))
  const { type: _, ...searched } = definitions(aForm()).at(-1) ?? { type: '' }

  expect(made).toEqual({
    item: {
      type: 'additional_tools',
      id,
      role: 'developer',
      tools: [
        { type: 'namespace', name: 'functions', description: '', tools: own },
        { type: 'web_search', ...searched },
      ],
    },
  })
  expect(toolDefinitions(aForm({ lite: true }), 'thread')).toEqual(made)
  expect(toolDefinitions(aForm({ lite: true }), 'other')).not.toEqual(made)
})
