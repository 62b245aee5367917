import type { Item } from '../../shared/items.ts'
import { isShownTo } from './gated-models.ts'
import { historyFault } from './strict-history.ts'

/** A model as the service knows it. */
export interface KnownModel {
  slug: string
  /**
   * Refused, in one of the three ways the service is known to have, to who does not name at least
   * this version of the Codex CLI.
   */
  gate?: { words: 'newer-version' | 'chatgpt-account' | 'not-found'; version: string }
}

export interface Refused {
  status: number
  body: unknown
  /** No client that does right gets this answer, whatever its model and account. */
  isViolation: boolean
}

export interface AskedRequest {
  header(name: string): string | undefined
  body: { input?: unknown; [key: string]: unknown }
}

/**
 * What the service answers to a request that it does not take, in its own words as far as people have
 * reported them; undefined for one it takes. `models`: those it has; by default all but retired ones.
 */
export function refusalOf(
  request: AskedRequest,
  models?: readonly KnownModel[],
): Refused | undefined {
  const wrong = formFault(request)
  if (wrong) return { status: 400, body: wrong, isViolation: true }
  const gone = modelFault(request, models)
  return gone && { ...gone, isViolation: false }
}

/** What the official client sends, or has sent. Any other key is refused, those of the public API too. */
const PARAMETERS = new Set([
  'model',
  'instructions',
  'input',
  'tools',
  'tool_choice',
  'parallel_tool_calls',
  'reasoning',
  'store',
  'stream',
  'include',
  'service_tier',
  'prompt_cache_key',
  'text',
  'client_metadata',
])

const LITE_HEADER = 'x-openai-internal-codex-responses-lite'

function formFault({ header, body }: AskedRequest): unknown {
  const unknown = Object.keys(body).find((name) => !PARAMETERS.has(name))
  if (unknown) return { detail: `Unsupported parameter: ${unknown}` }
  if (body.store !== false) return { detail: 'Store must be set to false' }
  if (body.stream !== true) return { detail: 'Stream must be set to true' }
  if (!Array.isArray(body.input)) return { detail: 'Input must be a list' }
  if (body.input.some(({ role }: Item) => role === 'system')) {
    return { detail: 'System messages are not allowed' }
  }
  if (header(LITE_HEADER) === 'true') {
    // Left out, it is true.
    if (body.parallel_tool_calls !== false) return invalid(PARALLEL, 'parallel_tool_calls')
  } else if (body.input.some(({ type }: Item) => type === 'additional_tools')) {
    return invalid('additional_tools is for Responses-Lite alone', 'input')
  }
  const fault = historyFault(body.input)
  return fault && invalid(fault, 'input')
}

const PARALLEL =
  'X-OpenAI-Internal-Codex-Responses-Lite requires `parallel_tool_calls` to be false.'

function invalid(message: string, param: string) {
  return {
    error: { message, type: 'invalid_request_error', param, code: 'unsupported_value' },
  }
}

/** What has been retired over the years; a client that has one of them built in is out of date. */
const RETIRED = /^(gpt-5(\.[1-4])?(-codex.*)?|gpt-5\.3-.*|codex-mini.*|o[1-4](-.*)?|gpt-4.*)$/

function modelFault(
  { header, body: { model } }: AskedRequest,
  models: readonly KnownModel[] | undefined,
): { status: number; body: unknown } | undefined {
  const slug = String(model)
  const known = models?.find((one) => one.slug === slug)
  if (models ? !known : RETIRED.test(slug)) return WORDS['chatgpt-account'](slug)
  if (!known?.gate) return undefined
  const { words, version } = known.gate
  const isEnough = isShownTo(header('version') ?? '0.0.1', { minimal_client_version: version })
  return isEnough ? undefined : WORDS[words](slug)
}

const WORDS = {
  'newer-version': (slug: string) => ({
    status: 400,
    body: {
      detail: `The '${slug}' model requires a newer version of Codex. Please upgrade to the latest app or CLI and try again.`,
    },
  }),
  'chatgpt-account': (slug: string) => ({
    status: 400,
    body: {
      detail: `The '${slug}' model is not supported when using Codex with a ChatGPT account.`,
    },
  }),
  'not-found': (slug: string) => ({
    status: 404,
    body: {
      error: {
        message: `Model not found ${slug}`,
        type: 'invalid_request_error',
        param: 'model',
        code: null,
      },
    },
  }),
}
