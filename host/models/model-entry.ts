import { z } from 'zod'
import { CLIENT_VERSION } from '../../shared/client-version.ts'

/** The properties of a model that a request depends on. */
export const ModelEntry = z.object({
  slug: z.string(),
  name: z.string(),
  /** The lowest is the default. */
  priority: z.number(),
  /** Whether it is shown to people. */
  isListed: z.boolean(),
  /** Reasoning efforts, in ascending order. Empty: not known. */
  efforts: z.array(z.string()),
  defaultEffort: z.string().optional(),
  /** Absent: no summary of the reasoning. */
  defaultSummary: z.string().optional(),
  hasVerbosity: z.boolean(),
  defaultVerbosity: z.string().optional(),
  /** Tokens. */
  contextWindow: z.number().int().positive().optional(),
  /** The part of the window that the service allows a conversation. */
  usablePercent: z.number().positive().max(100),
  lite: z.boolean(),
  applyPatch: z.boolean(),
  images: z.boolean(),
  webSearch: z.boolean(),
  /** The oldest version of the Codex CLI that the service accepts for this model. */
  minimalClientVersion: z.string().optional(),
  /** The successor of a deprecated model. */
  upgrade: z.string().optional(),
})
export type ModelEntry = z.infer<typeof ModelEntry>

/**
 * The models in a catalogue of the service. Entries without a usable name and invalid fields of other
 * entries are left out: one broken entry must not hide the rest.
 */
export function readModels(json: unknown): ModelEntry[] {
  const { models } = Answer.parse(json)
  return models
    .toSorted((a, b) => priorityOf(a) - priorityOf(b))
    .slice(0, MAX_MODELS)
    .map((model) => WireModel.safeParse(model).data)
    .filter((model) => model !== undefined)
    .map(entryOf)
}

function priorityOf(model: unknown): number {
  const { priority } = Object(model) as { priority?: unknown }
  return typeof priority === 'number' ? priority : Number.MAX_SAFE_INTEGER
}

/** More than a person can look through; the first ones of the service's order. */
const MAX_MODELS = 200

const Answer = z.object({ models: z.array(z.unknown()).catch([]) }).catch({ models: [] })

/** Becomes part of requests, files and screens. */
const name = z.string().regex(/^[\w.:/+-]{1,100}$/)
const optionalName = name.optional().catch(undefined)

/** Becomes a header. */
const clientVersion = z.string().regex(CLIENT_VERSION)

const effort = z.union([name, z.object({ effort: name }).transform((level) => level.effort)])

const WireModel = z.object({
  slug: name,
  display_name: z.string().max(200).optional().catch(undefined),
  visibility: z.unknown().optional(),
  priority: z.number().catch(Number.MAX_SAFE_INTEGER),
  supported_reasoning_levels: z.array(effort.optional().catch(undefined)).max(20).catch([]),
  default_reasoning_level: optionalName,
  default_reasoning_summary: optionalName,
  support_verbosity: z.boolean().catch(false),
  default_verbosity: optionalName,
  context_window: z.number().int().positive().optional().catch(undefined),
  effective_context_window_percent: z.number().positive().max(100).catch(100),
  use_responses_lite: z.boolean().catch(false),
  apply_patch_tool_type: z.unknown().optional(),
  input_modalities: z.array(z.unknown()).catch(['text', 'image']),
  web_search_tool_type: z.unknown().optional(),
  minimal_client_version: clientVersion.optional().catch(undefined),
  upgrade: z
    .union([name, z.object({ model: name }).transform(({ model }) => model)])
    .optional()
    .catch(undefined),
})

function entryOf(wire: z.infer<typeof WireModel>): ModelEntry {
  const summary = wire.default_reasoning_summary
  return {
    slug: wire.slug,
    name: wire.display_name ?? wire.slug,
    priority: wire.priority,
    isListed: wire.visibility === 'list',
    efforts: wire.supported_reasoning_levels.filter((level) => level !== undefined),
    defaultEffort: wire.default_reasoning_level,
    defaultSummary: summary === 'none' ? undefined : summary,
    hasVerbosity: wire.support_verbosity,
    defaultVerbosity: wire.default_verbosity,
    contextWindow: wire.context_window,
    usablePercent: wire.effective_context_window_percent,
    lite: wire.use_responses_lite,
    applyPatch: wire.apply_patch_tool_type === 'freeform',
    images: wire.input_modalities.includes('image'),
    webSearch: typeof wire.web_search_tool_type === 'string',
    minimalClientVersion: wire.minimal_client_version,
    upgrade: wire.upgrade,
  }
}
