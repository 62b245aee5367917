import { expect, test } from 'vitest'
import { BUILT_IN_FROM, builtInModels } from '../../host/models/built-in-models.ts'
import { defaultModel } from '../../host/models/find-model.ts'
import { type BundledModels, compareModels } from '../../scripts/drift/models.ts'
import { fixture } from '../../scripts/drift/recording.ts'

const recorded = () => fixture<BundledModels & { client: string }>('models.json')

test('the built-in list is that of the recorded client, field by field', () => {
  expect(compareModels(recorded())).toEqual([])
  expect(BUILT_IN_FROM.client).toBe(recorded().client.replace('codex-cli', 'Codex CLI'))
})

test.each([
  ['context_window', 272_000],
  ['minimal_client_version', '0.170.0'],
  ['default_reasoning_level', 'high'],
  ['use_responses_lite', false],
  ['visibility', 'hide'],
])('it is told when a model of the list has another %s', (name, value) => {
  const bundled = recorded()
  Object.assign(bundled.models[0] ?? {}, { [name]: value })

  expect(compareModels(bundled)).toHaveLength(1)
})

test('gpt-6.2-sol is the default and has, as gpt-6.1-sol has now, a window of 500k', () => {
  const find = (slug: string) => builtInModels.find((model) => model.slug === slug)

  expect(defaultModel(builtInModels)?.slug).toBe('gpt-6.2-sol')
  expect(find('gpt-6.2-sol')).toMatchObject({ priority: 1, contextWindow: 500_000 })
  expect(find('gpt-6.2-astra')).toMatchObject({ priority: 2 })
  expect(find('gpt-6.1-sol')).toMatchObject({ contextWindow: 500_000 })
})

test('all models but gpt-5.5 are asked in the lite form', () => {
  expect(builtInModels.filter(({ lite }) => !lite).map(({ slug }) => slug)).toEqual(['gpt-5.5'])
})
