import { describe, expect, test } from 'vitest'
import { builtInModels } from '../../host/models/built-in-models.ts'
import { defaultModel, findModel } from '../../host/models/find-model.ts'
import { type Dialect, requestSettings, settingsFrom } from '../../host/models/request-settings.ts'
import { ModelForm } from '../../shared/protocol.ts'
import { aModel } from './a-model.ts'

const slugsOf = (models: readonly { slug: string }[]) => models.map(({ slug }) => slug)

describe('a model is found', () => {
  const models = [aModel('gpt-6'), aModel('gpt-6-sol'), aModel('gpt-5.5')]

  test.each([
    ['gpt-6-sol', 'gpt-6-sol'],
    ['gpt-6-sol-2026-11-01', 'gpt-6-sol'],
    ['gpt-6-luna', 'gpt-6'],
    ['openai/gpt-5.5', 'gpt-5.5'],
    ['openai/gpt-6-sol-fast', 'gpt-6-sol'],
    ['a/b/gpt-5.5', undefined],
    ['gpt-5', undefined],
    ['', undefined],
    ['__proto__', undefined],
  ])('%s as %s', (named, slug) => {
    expect(findModel(models, named)?.slug).toBe(slug)
  })

  test('by its priority, among those that are shown, when none is named', () => {
    const hidden = aModel('hidden', { priority: 0, isListed: false })
    const models = [aModel('second', { priority: 2 }), aModel('first', { priority: 1 }), hidden]

    expect(defaultModel(models)?.slug).toBe('first')
    expect(defaultModel([hidden])?.slug).toBe('hidden')
    expect(defaultModel([])).toBeUndefined()
    expect(slugsOf(models)).toEqual(['second', 'first', 'hidden'])
  })
})

describe('a request fits the model', () => {
  test('without any wish: its own effort, verbosity and form', () => {
    expect(settingsFrom(builtInModels, {}, 'codex')).toEqual({
      model: 'gpt-6.2-sol',
      form: {
        lite: true,
        applyPatch: true,
        images: true,
        webSearch: false,
        compaction: 'trigger',
        compactAtTokens: 450_000,
        minimalClientVersion: '0.166.0',
      },
      reasoning: { effort: 'low' },
      verbosity: 'low',
      notices: [],
    })
  })

  test('the version that a listed model asks for is at hand, for that model and service alone', () => {
    const entry = aModel('gpt-9', { minimalClientVersion: '0.166.0' })
    const versionFor = (model: string, dialect: Dialect) =>
      settingsFrom([entry], { model }, dialect).form.minimalClientVersion

    expect(versionFor('gpt-9', 'codex')).toBe('0.166.0')
    expect(versionFor('gpt-9-mini', 'codex')).toBeUndefined()
    expect(versionFor('gpt-9', 'plain')).toBeUndefined()
  })

  test('and the public API knows neither the lite form nor the sealed compaction', () => {
    const { form } = settingsFrom(builtInModels, {}, 'plain')

    expect(form).toMatchObject({ lite: false, compaction: 'summary', compactAtTokens: 450_000 })
  })

  test.each([
    ['medium', 'medium', 0],
    ['ultra', 'xhigh', 1],
    ['max', 'xhigh', 1],
    ['minimal', 'low', 1],
    ['none', 'low', 1],
    ['turbo', 'medium', 1],
  ])('effort %s goes out as %s', (effort, sent, notices) => {
    const entry = aModel('gpt-5.5', {
      efforts: ['low', 'medium', 'high', 'xhigh'],
      defaultEffort: 'medium',
    })

    const settings = requestSettings(entry, { model: 'gpt-5.5', effort }, 'codex')

    expect(settings.reasoning.effort).toBe(sent)
    expect(settings.notices).toHaveLength(notices)
    for (const notice of settings.notices) expect(notice).toContain(`"${sent}" is used`)
  })

  test('an effort that is none of its levels and all there are is left to a model without levels', () => {
    const settings = requestSettings(aModel('m'), { model: 'm', effort: 'turbo' }, 'codex')

    expect(settings).toMatchObject({ reasoning: { effort: 'turbo' }, notices: [] })
  })

  test.each([
    [undefined, undefined, undefined],
    ['none', 'auto', undefined],
    ['detailed', undefined, 'detailed'],
    [undefined, 'auto', 'auto'],
  ])('summary: wanted %s, its own %s, sent %s', (summary, defaultSummary, sent) => {
    const entry = aModel('m', defaultSummary ? { defaultSummary } : {})

    expect(requestSettings(entry, { model: 'm', summary }, 'codex').reasoning.summary).toBe(sent)
  })

  test('a verbosity goes only to a model that knows one', () => {
    const wanted = { model: 'm', verbosity: 'high' }
    const knows = requestSettings(aModel('m', { hasVerbosity: true }), wanted, 'codex')
    const knowsNot = requestSettings(aModel('m'), wanted, 'codex')

    expect(knows).toMatchObject({ verbosity: 'high', notices: [] })
    expect(knowsNot).not.toHaveProperty('verbosity')
    expect(knowsNot.notices.join()).toContain('no verbosity')
  })

  test('the web is searched only with permission, by a model that can', () => {
    const can = aModel('m', { webSearch: true })
    const searches = (entry: typeof can, webSearch?: boolean) =>
      requestSettings(entry, { model: 'm', webSearch }, 'codex')

    expect(searches(can).form.webSearch).toBe(false)
    expect(searches(can).notices).toEqual([])
    expect(searches(can, true).form.webSearch).toBe(true)
    expect(searches(aModel('m'), true)).toMatchObject({
      form: { webSearch: false },
      notices: [expect.stringContaining('cannot search the web')],
    })
  })

  test('a search of the web is said to be a way out, whatever the network of the container is', () => {
    const asked = { model: 'm', webSearch: true }
    const wayOut = [
      expect.stringMatching(
        /^The service searches .*, whatever AGENT_NETWORK says\. .*leaves this machine/,
      ),
    ]

    expect(requestSettings(aModel('m', { webSearch: true }), asked, 'codex').notices).toEqual(
      wayOut,
    )
    const unlisted = requestSettings(undefined, asked, 'codex')
    expect(unlisted.notices).toEqual([expect.any(String), ...wayOut])
  })

  test.each([
    [272_000, 95, 244_800],
    [100_000, 50, 50_000],
    [1, 100, 1],
    [Number.MAX_SAFE_INTEGER, 100, 2 ** 30],
    [undefined, 95, undefined],
  ])('a window of %s of which %s %% count is compacted at %s tokens', (window, percent, at) => {
    const entry = aModel('m', {
      usablePercent: percent,
      ...(window ? { contextWindow: window } : {}),
    })

    const { form } = requestSettings(entry, { model: 'm' }, 'codex')

    expect(form.compactAtTokens).toBe(at)
    expect(ModelForm.parse(form)).toEqual(form)
  })

  test('a model on its way out is asked, and its successor named', () => {
    const settings = settingsFrom(builtInModels, { model: 'gpt-5.5' }, 'codex')

    expect(settings.model).toBe('gpt-5.5')
    expect(settings.notices).toEqual([expect.stringContaining('gpt-6-sol')])
  })

  test('a model without an entry goes out as it is called, in the plainest form', () => {
    const wanted = { model: 'llama4:latest', effort: 'high', summary: 'none', verbosity: 'low' }

    const settings = settingsFrom(builtInModels, wanted, 'codex')

    expect(settings).toEqual({
      model: 'llama4:latest',
      form: {
        lite: false,
        applyPatch: false,
        images: true,
        webSearch: false,
        compaction: 'summary',
      },
      reasoning: { effort: 'high' },
      notices: [
        expect.stringContaining('llama4:latest is not in the list'),
        expect.stringContaining('verbosity'),
      ],
    })
  })

  test('a model that the service has dropped is asked, and its known successor named', () => {
    const settings = settingsFrom([aModel('gpt-6-sol')], { model: 'gpt-5.5' }, 'codex')

    expect(settings.model).toBe('gpt-5.5')
    expect(settings.notices[0]).toContain('gpt-6-sol has taken its place')
  })

  test('an empty catalogue has the built-in default', () => {
    expect(settingsFrom([], {}, 'codex').model).toBe('gpt-6.2-sol')
  })
})
