import { expect, test } from 'vitest'
import { readModels } from '../../host/models/model-entry.ts'
import { aModel } from './a-model.ts'
import { wireModel } from './wire-model.ts'

const read = (...models: unknown[]) => readModels({ models })

test('of an entry only what is needed to ask the model is kept', () => {
  expect(read(wireModel('gpt-9', { upgrade: { model: 'gpt-10' } }))).toEqual([
    {
      slug: 'gpt-9',
      name: 'GPT-9',
      priority: 1,
      isListed: true,
      efforts: ['low', 'medium', 'high'],
      defaultEffort: 'medium',
      defaultSummary: undefined,
      hasVerbosity: true,
      defaultVerbosity: 'low',
      contextWindow: 272_000,
      usablePercent: 95,
      lite: true,
      applyPatch: true,
      images: true,
      webSearch: true,
      minimalClientVersion: '0.144.0',
      upgrade: 'gpt-10',
    },
  ])
})

test('efforts may be objects or mere words, and an upgrade too', () => {
  const [entry] = read(
    wireModel('m', { supported_reasoning_levels: ['low', { effort: 'max' }], upgrade: 'n' }),
  )

  expect(entry).toMatchObject({ efforts: ['low', 'max'], upgrade: 'n' })
})

test.each([
  ['nothing', undefined],
  ['null', null],
  ['a page', '<html>'],
  ['a number', 7],
  ['a list', [wireModel('m')]],
  ['no models', {}],
  ['models that are none', { models: 'm' }],
  ['models of a prototype', JSON.parse('{"__proto__":{"models":[{"slug":"m"}]}}')],
  ['the list of the public API', { object: 'list', data: [{ id: 'gpt-5.5', object: 'model' }] }],
])('an answer that is %s has no models', (_what, json) => {
  expect(readModels(json)).toEqual([])
})

test('a broken entry does not hide the others', () => {
  const broken = [
    null,
    'gpt',
    [],
    {},
    wireModel(''),
    wireModel('with space'),
    wireModel('line\nbreak'),
    wireModel('x'.repeat(101)),
    { ...wireModel('m'), slug: { toString: 'm' } },
    JSON.parse('{"__proto__":{"slug":"sneaky"}}'),
  ]

  expect(read(...broken, wireModel('good'), ...broken).map(({ slug }) => slug)).toEqual(['good'])
})

test('what cannot be understood of an entry is as if it were not there', () => {
  const nonsense = { $: [] }
  const names = Object.keys(wireModel('m')).filter((key) => key !== 'slug')
  const [entry] = read({ slug: 'm', ...Object.fromEntries(names.map((name) => [name, nonsense])) })

  expect(entry).toEqual(
    aModel('m', {
      isListed: false,
      priority: Number.MAX_SAFE_INTEGER,
      usablePercent: 100,
      images: true,
    }),
  )
})

test('an entry may be no more than a name', () => {
  expect(read({ slug: 'm' })).toMatchObject([
    { slug: 'm', name: 'm', isListed: false, efforts: [] },
  ])
})

test.each([
  ['context_window', -1, 'contextWindow', undefined],
  ['context_window', 1.5, 'contextWindow', undefined],
  ['context_window', '272000', 'contextWindow', undefined],
  ['effective_context_window_percent', 0, 'usablePercent', 100],
  ['effective_context_window_percent', 1000, 'usablePercent', 100],
  ['supported_reasoning_levels', [null, 'low', { effort: 3 }], 'efforts', ['low']],
  ['supported_reasoning_levels', new Array(21).fill('low'), 'efforts', []],
  ['default_reasoning_summary', 'auto', 'defaultSummary', 'auto'],
  ['default_reasoning_level', 'a\r\nb', 'defaultEffort', undefined],
  ['visibility', 'hide', 'isListed', false],
  ['apply_patch_tool_type', 'function', 'applyPatch', false],
  ['web_search_tool_type', null, 'webSearch', false],
  ['input_modalities', ['text'], 'images', false],
  ['use_responses_lite', 'true', 'lite', false],
  ['minimal_client_version', '0.166.0-alpha.1', 'minimalClientVersion', '0.166.0-alpha.1'],
  ['minimal_client_version', '1.0\r\ncookie: a', 'minimalClientVersion', undefined],
  ['display_name', 'x'.repeat(201), 'name', 'm'],
] as const)('%s %j is read as %s %j', (wireName, wire, name, value) => {
  const [entry] = read(wireModel('m', { [wireName]: wire }))

  expect(entry?.[name]).toEqual(value)
})

test('of 10 000 models those are taken that the service puts first', () => {
  const flood = Array.from({ length: 10_000 }, (_, at) => ({ slug: `m-${at}`, priority: -at }))

  const slugs = readModels({ models: flood }).map(({ slug }) => slug)
  expect(slugs).toHaveLength(200)
  expect(slugs[0]).toBe('m-9999')
})
