import type { ModelForm } from '../../shared/protocol.ts'
import { builtInModels } from './built-in-models.ts'
import { defaultModel, findModel } from './find-model.ts'
import type { ModelEntry } from './model-entry.ts'

/** The user's settings; the others are the model's defaults. */
export interface WantedSettings {
  model?: string | undefined
  effort?: string | undefined
  summary?: string | undefined
  verbosity?: string | undefined
  /** Whether the service may search the web for the model. Default: no. */
  webSearch?: boolean | undefined
}

/** The settings of a model request. */
export interface RequestSettings {
  model: string
  form: ModelForm
  reasoning: { effort?: string; summary?: string }
  verbosity?: string
  /** Adjusted settings and other notices for the user; complete sentences. */
  notices: string[]
}

/**
 * `codex` has the official client's own request shapes: compaction into one encrypted item,
 * tools inside the input. `plain` is the public API and compatible servers.
 */
export type Dialect = 'codex' | 'plain'

/** Settings for the wanted model, or for the default of `models`. */
export function settingsFrom(
  models: readonly ModelEntry[],
  wanted: WantedSettings,
  dialect: Dialect,
): RequestSettings {
  const { model } = wanted
  if (model !== undefined)
    return requestSettings(findModel(models, model), { ...wanted, model }, dialect)
  const entry = defaultModel(models) ?? defaultModel(builtInModels)
  return requestSettings(entry, { ...wanted, model: entry?.slug ?? '' }, dialect)
}

/**
 * Adjusts the wanted settings to the model's capabilities. A model without an entry is still used, with
 * the request shape that every model understands: the service decides which models exist.
 */
export function requestSettings(
  entry: ModelEntry | undefined,
  wanted: WantedSettings & { model: string },
  dialect: Dialect,
): RequestSettings {
  if (!entry) return unknownModel(wanted)
  const notices: string[] = []
  const { model } = wanted
  const effort = fittingEffort(entry, wanted, notices)
  const summary = wanted.summary ?? entry.defaultSummary
  const verbosity = fittingVerbosity(entry, wanted, notices)
  if (wanted.webSearch) {
    notices.push(entry.webSearch ? WEB_SEARCH : `${model} cannot search the web.`)
  }
  if (entry.upgrade) {
    notices.push(`${model} is on its way out; the service names ${entry.upgrade} in its place.`)
  }
  const compactAtTokens = compactionStart(entry)
  return {
    model,
    form: {
      lite: dialect === 'codex' && entry.lite,
      applyPatch: entry.applyPatch,
      images: entry.images,
      webSearch: wanted.webSearch === true && entry.webSearch,
      compaction: dialect === 'codex' ? 'trigger' : 'summary',
      ...(compactAtTokens ? { compactAtTokens } : {}),
      ...(dialect === 'codex' && entry.slug === model && entry.minimalClientVersion
        ? { minimalClientVersion: entry.minimalClientVersion }
        : {}),
    },
    reasoning: reasoningOf(effort, summary),
    ...(verbosity ? { verbosity } : {}),
    notices,
  }
}

/** Works without a network in the container. */
const WEB_SEARCH =
  'The service searches the web for the model (--web-search), whatever AGENT_NETWORK says. What the model ' +
  'searches for leaves this machine, and that may be anything it has read.'

function unknownModel(wanted: WantedSettings & { model: string }): RequestSettings {
  const { model, effort, summary, verbosity } = wanted
  const upgrade = findModel(builtInModels, model)?.upgrade
  const notices = [
    `The model ${model} is not in the list of the service; it is asked in the plainest form.` +
      (upgrade ? ` ${upgrade} has taken its place.` : ''),
  ]
  if (wanted.webSearch) notices.push(WEB_SEARCH)
  if (verbosity) notices.push(`Whether ${model} knows a verbosity is unknown; it is left out.`)
  return {
    model,
    form: {
      lite: false,
      applyPatch: false,
      images: true,
      webSearch: wanted.webSearch === true,
      compaction: 'summary',
    },
    reasoning: reasoningOf(effort, summary),
    notices,
  }
}

function reasoningOf(
  effort: string | undefined,
  summary: string | undefined,
): RequestSettings['reasoning'] {
  return {
    ...(effort ? { effort } : {}),
    // The service does not accept `none`; omitting the field means no summary.
    ...(summary && summary !== 'none' ? { summary } : {}),
  }
}

/** All efforts so far, in ascending order. */
const EFFORTS = ['none', 'minimal', 'low', 'medium', 'high', 'xhigh', 'max', 'ultra']

/** The wanted effort, or else the nearest below it, or else the lowest. */
function fittingEffort(
  entry: ModelEntry,
  { model, effort }: WantedSettings & { model: string },
  notices: string[],
): string | undefined {
  const { efforts, defaultEffort } = entry
  if (effort === undefined) return defaultEffort
  if (efforts.length === 0 || efforts.includes(effort)) return effort
  const rank = EFFORTS.indexOf(effort)
  const lower = efforts.filter((level) => EFFORTS.indexOf(level) < rank)
  const fitting = rank < 0 ? defaultEffort : (lower.at(-1) ?? efforts[0])
  notices.push(
    `${model} does not know the effort "${effort}" (it has ${efforts.join(', ')}); ` +
      `${fitting ? `"${fitting}" is used` : 'its own is used'}.`,
  )
  return fitting
}

function fittingVerbosity(
  entry: ModelEntry,
  { model, verbosity }: WantedSettings & { model: string },
  notices: string[],
): string | undefined {
  if (entry.hasVerbosity) return verbosity ?? entry.defaultVerbosity
  if (verbosity) notices.push(`${model} knows no verbosity; "${verbosity}" is left out.`)
  return undefined
}

/** Leaves room for the answer and for the compaction itself. */
const COMPACT_AT_PERCENT = 90
/** The protocol's maximum. */
const MOST_TOKENS = 2 ** 30

function compactionStart({ contextWindow, usablePercent }: ModelEntry): number | undefined {
  if (contextWindow === undefined) return undefined
  const percent = Math.min(COMPACT_AT_PERCENT, usablePercent)
  return Math.min(MOST_TOKENS, Math.max(1, Math.floor((contextWindow * percent) / 100)))
}
