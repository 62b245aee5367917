import { chooseProvider } from '../../choose-provider.ts'
import { readConfig } from '../../config.ts'
import { span } from '../../format-time.ts'
import { BUILT_IN_FROM } from '../../models/built-in-models.ts'
import type { Catalogue } from '../../models/catalogue.ts'
import { defaultModel } from '../../models/find-model.ts'
import type { ModelEntry } from '../../models/model-entry.ts'
import { short } from './format-counts.ts'
import { print, printJson } from './print.ts'
import { Screen } from './screen.ts'

/** Lists the models of the provider. */
export async function modelsCommand(options: { json?: boolean }): Promise<void> {
  const { provider, notice } = chooseProvider(readConfig())
  const catalogue = (await provider.models?.()) ?? { models: [], source: 'built-in' }
  const byPriority = catalogue.models.toSorted((a, b) => a.priority - b.priority)
  if (options.json) {
    printJson({ provider: provider.name, ...catalogue, models: byPriority })
    return
  }
  if (notice) new Screen().note(notice, 'yellow')
  const rows = byPriority.map((model) => row(model, defaultModel(catalogue.models)))
  for (const line of table([HEAD, ...rows])) print(line)
  new Screen().note(origin(catalogue, provider.name, Date.now()))
}

const HEAD = ['model', 'efforts', 'window', '']

function row(model: ModelEntry, defaultEntry: ModelEntry | undefined): string[] {
  const { slug, efforts, defaultEffort, contextWindow, isListed, upgrade } = model
  const notes = [
    model === defaultEntry && 'default',
    !isListed && 'hidden',
    upgrade && `→ ${upgrade}`,
  ]
  return [
    slug,
    efforts.map((effort) => (effort === defaultEffort ? `${effort}*` : effort)).join(' ') || '–',
    contextWindow ? short(contextWindow) : '–',
    notes.filter(Boolean).join(', '),
  ]
}

/** Rows as lines; each column is as wide as its widest cell. */
function table(rows: readonly string[][]): string[] {
  const widths = HEAD.map((_, column) =>
    Math.max(...rows.map((cells) => cells[column]?.length ?? 0)),
  )
  return rows.map((cells) =>
    cells
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  )
}

function origin(catalogue: Catalogue, provider: string, now: number): string {
  const { problem } = catalogue
  const hasEfforts = catalogue.models.some(({ defaultEffort }) => defaultEffort !== undefined)
  const star = hasEfforts ? '* the effort if none is named. ' : ''
  const arrow = catalogue.models.some(({ upgrade }) => upgrade)
    ? '→ the model that takes its place. '
    : ''
  const why = problem ? ` ${problem}` : ''
  return `${star}${arrow}The list is ${sourceOf(catalogue, provider, now)}.${why}`
}

function sourceOf({ source, checkedAt }: Catalogue, provider: string, now: number): string {
  const age = span(now - (checkedAt ?? now))
  switch (source) {
    case 'live':
      return 'as the service has just said'
    case 'cache':
      return `as the service said ${age} ago`
    case 'built-in':
      if (checkedAt === undefined) return `built into codexbox for ${provider}`
      return `built into codexbox, from ${BUILT_IN_FROM.client}, ${age} old; others can be asked too`
  }
}
