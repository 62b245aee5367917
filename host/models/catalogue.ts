import { z } from 'zod'
import { CodexboxError, messageOf } from '../../shared/errors.ts'
import { UNGATED_CLIENT_VERSION } from '../auth/client-identity.ts'
import { isWithin } from '../auth/tokens.ts'
import { type AccountFile, accountFile } from '../storage/account-file.ts'
import { BUILT_IN_FROM, builtInModels } from './built-in-models.ts'
import { getJson } from './get-json.ts'
import { ModelEntry, readModels } from './model-entry.ts'

/** The models of an account, and the age of the list. */
export interface Catalogue {
  models: readonly ModelEntry[]
  /** `live`: fetched just now; `cache`: persisted earlier; `built-in`: never fetched. */
  source: 'live' | 'cache' | 'built-in'
  /** Time of the last answer of the service, in epoch ms; for a built-in list, the date of the list. */
  checkedAt?: number
  /** Why the last request to the service failed. */
  problem?: string
}

export interface CatalogueOptions {
  dataDir: string
  codexBaseUrl: URL
  /** The account of the list; no other account gets it. */
  owner: string
  /** Credentials and client identity; renewed credentials on a retry. */
  headersFor: (isRetry: boolean) => Promise<Record<string, string>>
  /** Aborts requests in the background. */
  signal?: AbortSignal | undefined
  /** Per request. Default 5000. */
  timeoutMs?: number | undefined
  /** How long a start waits without a cached list. Default 2000. */
  maxWaitMs?: number | undefined
  now?: (() => number) | undefined
}

export interface ModelCatalogue {
  /**
   * The list for a start: a fresh cached list causes no request; a stale one is returned at once
   * and renewed in the background. Only a start without one waits, briefly. Never fails.
   */
  known(): Promise<Catalogue>
  /** Asks the service now; falls back to the cached list, or else the built-in one. Never fails. */
  ask(): Promise<Catalogue>
}

/** The service's list of models, cached in the data folder. */
export function modelCatalogue(options: CatalogueOptions): ModelCatalogue {
  const { codexBaseUrl, owner, now = Date.now, maxWaitMs = MAX_WAIT_MS } = options
  // A configured server has its own list.
  const stamp = `${owner} ${codexBaseUrl.href}`
  const file: AccountFile<CachedModels> = accountFile(options.dataDir, FILE, CachedModels)
  let asking: Promise<Catalogue> | undefined

  const ask = () => {
    asking ??= renew().finally(() => {
      asking = undefined
    })
    return asking
  }

  const renew = async (): Promise<Catalogue> => {
    const cached = file.read(stamp)
    try {
      const { models, etag } = await download(cached, options)
      const checkedAt = now()
      await file.write(stamp, { models, checkedAt, ...(etag ? { etag } : {}) })
      return { models, source: 'live', checkedAt }
    } catch (error) {
      // Often runs in the background, without a caller to catch an error.
      return { ...(cached ? fromCache(cached) : BUILT_IN), problem: messageOf(error) }
    }
  }

  return {
    ask,
    known: async () => {
      const cached = file.read(stamp)
      if (cached && isWithin(LIFE_MS, cached.checkedAt, now())) return fromCache(cached)
      const fetching = ask()
      return cached
        ? fromCache(cached)
        : within(maxWaitMs, fetching, { ...BUILT_IN, problem: TOO_LATE })
    },
  }
}

const FILE = 'codex-models.json'
/** The official client's cache lifetime. */
const LIFE_MS = 5 * 60_000
const TIMEOUT_MS = 5_000
/** Interactive: the first output of a run waits for it. */
const MAX_WAIT_MS = 2_000
/** The real answer is about a megabyte, mostly texts that are not used here. */
const MAX_BYTES = 8 * 1024 * 1024

const TOO_LATE = 'Asked the service for its models: no answer has come yet.'

const BUILT_IN: Catalogue = {
  models: builtInModels,
  source: 'built-in',
  checkedAt: BUILT_IN_FROM.at,
}

/** A notice about the source of the list; undefined for the service's own. */
export function builtInNotice({ source, problem }: Catalogue): string | undefined {
  if (source !== 'built-in') return undefined
  const date = new Date(BUILT_IN_FROM.at).toISOString().slice(0, 10)
  return (
    `The service's list of models is not known, so the built-in one is used: that of ` +
    `${BUILT_IN_FROM.client}, of ${date}. ${problem ?? ''}`.trimEnd()
  )
}

const CachedModels = z.object({
  models: z.array(ModelEntry).min(1),
  checkedAt: z.number(),
  etag: z.string().optional(),
})
type CachedModels = z.infer<typeof CachedModels>

function fromCache({ models, checkedAt }: CachedModels): Catalogue {
  return { models, source: 'cache', checkedAt }
}

/** @throws CodexboxError `model-unreachable`, `model-refused` */
async function download(
  cached: CachedModels | undefined,
  options: CatalogueOptions,
): Promise<Pick<CachedModels, 'models' | 'etag'>> {
  const { codexBaseUrl, headersFor, signal, timeoutMs = TIMEOUT_MS } = options
  const etag = cached?.etag
  const ask = async (isRetry: boolean) =>
    getJson(modelsUrl(codexBaseUrl), {
      headers: {
        ...(await headersFor(isRetry)),
        accept: 'application/json',
        ...(etag ? { 'if-none-match': etag } : {}),
      },
      timeoutMs,
      maxBytes: MAX_BYTES,
      signal,
    })
  let answer = await ask(false)
  if (answer.status === 401) answer = await ask(true)
  if (answer.status === 304 && cached) return cached
  if (answer.status !== 200) throw notUsed(`status ${answer.status} came back`)
  const models = readModels(answer.json)
  // An empty list is treated as a failure: every account has at least one model.
  if (models.length === 0) throw notUsed('an answer without models came back')
  return { models, ...(isEtag(answer.etag) ? { etag: answer.etag } : {}) }
}

function modelsUrl(codexBaseUrl: URL): URL {
  const url = new URL(`${codexBaseUrl.pathname.replace(/\/+$/, '')}/models`, codexBaseUrl)
  url.searchParams.set('client_version', UNGATED_CLIENT_VERSION)
  return url
}

/** Sent back in a header, so it has to be a valid value (RFC 9110, 8.8.3). */
function isEtag(value: string | undefined): value is string {
  return value !== undefined && /^(W\/)?"[\x21\x23-\x7e]{0,500}"$/.test(value)
}

const notUsed = (what: string) =>
  new CodexboxError('model-refused', `Asked the service for its models: ${what}.`)

/** The result of `work` within `ms`, or `otherwise`. */
async function within<T>(ms: number, work: Promise<T>, otherwise: T): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<T>((resolve) => {
    timer = setTimeout(() => resolve(otherwise), ms)
  })
  try {
    return await Promise.race([work, timeout])
  } finally {
    clearTimeout(timer)
  }
}
