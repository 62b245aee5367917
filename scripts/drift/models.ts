import { readFileSync } from 'node:fs'
import { builtInModels } from '../../host/models/built-in-models.ts'
import { readModels } from '../../host/models/model-entry.ts'
import { differences } from './differences.ts'

/** A client's list of models, with the fields that affect requests. */
export interface BundledModels {
  models: Record<string, unknown>[]
}

const FIELDS = [
  'slug',
  'display_name',
  'visibility',
  'priority',
  'default_reasoning_level',
  'default_reasoning_summary',
  'support_verbosity',
  'default_verbosity',
  'context_window',
  'effective_context_window_percent',
  'input_modalities',
  'apply_patch_tool_type',
  'web_search_tool_type',
  'use_responses_lite',
  'tool_mode',
  'multi_agent_version',
]

/**
 * The client's built-in list, without its prompts. `minimal_client_version` is only in the executable,
 * not in the printed list.
 */
export function bundledIn(printed: unknown, program: string): BundledModels {
  const text = readFileSync(program, 'latin1')
  const { models } = printed as BundledModels
  return {
    models: models.map((model) => {
      const { supported_reasoning_levels: levels, upgrade, service_tiers: tiers } = model
      const fields = FIELDS.map((name) => [name, model[name]] as const)
      return {
        ...Object.fromEntries(fields.filter(([, value]) => value !== undefined)),
        supported_reasoning_levels: (levels as { effort: string }[]).map(({ effort }) => effort),
        service_tiers: (tiers as { id: string }[]).map(({ id }) => id),
        upgrade: (upgrade as { model: string } | null)?.model ?? null,
        minimal_client_version: minimalVersionIn(text, String(model.slug)),
      }
    }),
  }
}

/** The differences between codexbox's built-in list and the client's. */
export function compareModels(bundled: unknown): string[] {
  return differences(bySlug(builtInModels), bySlug(readModels(bundled)), 'models')
}

const bySlug = (models: ReturnType<typeof readModels> | typeof builtInModels) =>
  Object.fromEntries(models.map((model) => [model.slug, defined(model)]))

const defined = (model: object) =>
  Object.fromEntries(Object.entries(model).filter(([, value]) => value !== undefined))

function minimalVersionIn(program: string, slug: string): string | undefined {
  const at = program.indexOf(`"slug": "${slug}"`)
  if (at < 0) return undefined
  return /"minimal_client_version": "([\d.]+)"/.exec(program.slice(at, at + 10_000))?.[1]
}
