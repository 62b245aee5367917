import { z } from 'zod'
import { CodexboxError, messageOf } from '../../shared/errors.ts'
import { UNGATED_CLIENT_VERSION } from '../auth/client-identity.ts'
import { isWithin } from '../auth/tokens.ts'
import { type AccountFile, accountFile } from '../storage/account-file.ts'
import { BUILT_IN_FROM, builtInModels } from './built-in-models.ts'
import { getJson } from './get-json.ts'
import { ModelEntry, readModels } from './model-entry.ts'

/** The models an account can ask, and how fresh that knowledge is. */
export interface Catalogue {
  models: readonly ModelEntry[]
  /** `live`: just asked; `cache`: kept from an earlier time; `built-in`: never heard. */
  source: 'live' | 'cache' | 'built-in'
  /** When the service last said so, in epoch ms; for a built-in list, when the list was made. */
  checkedAt?: number
  /** Why the service could not be asked, if it was tried. */
  problem?: string
}

export interface CatalogueOptions {
  dataDir: string
  codexBaseUrl: URL
  /** Whose list it is: another account never gets it. */
  owner: string
  /** Credentials, and who we are; other credentials if those were refused. */
  headersFor: (isRetry: boolean) => Promise<Record<string, string>>
  /** Ends requests that nobody waits for any more. */
  signal?: AbortSignal | undefined
  /** For one request. Default 5000. */
  timeoutMs?: number | undefined
  /** How long a start waits when nothing at all is kept. Default 2000. */
  patienceMs?: number | undefined
  now?: (() => number) | undefined
}

export interface ModelCatalogue {
  /**
   * What is known, to start with: nothing is asked while the kept list is fresh; a stale one is used
   * all the same and renewed behind its back. Only who has none waits, and not for long. Never fails.
   */
  known(): Promise<Catalogue>
  /** Asks the service now; what is kept, or else built in, stands in for an answer. Never fails. */
  ask(): Promise<Catalogue>
}

/** The list of models of the service, with what it said before kept in the data folder. */
export function modelCatalogue(options: CatalogueOptions): ModelCatalogue {
  const { codexBaseUrl, owner, now = Date.now, patienceMs = PATIENCE_MS } = options
  // A server that was set by hand has a list of its own.
  const stamp = `${owner} ${codexBaseUrl.href}`
  const file: AccountFile<Kept> = accountFile(options.dataDir, FILE, Kept)
  let asking: Promise<Catalogue> | undefined

  const ask = () => {
    asking ??= renew().finally(() => {
      asking = undefined
    })
    return asking
  }

  const renew = async (): Promise<Catalogue> => {
    const kept = file.read(stamp)
    try {
      const { models, etag } = await download(kept, options)
      const checkedAt = now()
      await file.write(stamp, { models, checkedAt, ...(etag ? { etag } : {}) })
      return { models, source: 'live', checkedAt }
    } catch (error) {
      // Often nobody waits for it, so there is nobody to throw at.
      return { ...(kept ? fromCache(kept) : BUILT_IN), problem: messageOf(error) }
    }
  }

  return {
    ask,
    known: async () => {
      const kept = file.read(stamp)
      if (kept && isWithin(LIFE_MS, kept.checkedAt, now())) return fromCache(kept)
      const asked = ask()
      return kept ? fromCache(kept) : within(patienceMs, asked, { ...BUILT_IN, problem: TOO_LATE })
    },
  }
}

const FILE = 'codex-models.json'
/** As long as the official client keeps it. */
const LIFE_MS = 5 * 60_000
const TIMEOUT_MS = 5_000
/** Somebody waits for the first word of a run. */
const PATIENCE_MS = 2_000
/** The real one is about a megabyte, for the texts in it that we have no use for. */
const MAX_BYTES = 8 * 1024 * 1024

const TOO_LATE = 'Asked the service for its models: no answer has come yet.'

const BUILT_IN: Catalogue = {
  models: builtInModels,
  source: 'built-in',
  checkedAt: BUILT_IN_FROM.at,
}

/** What the user should know of where the list is from; undefined where it is the service's own. */
export function builtInNotice({ source, problem }: Catalogue): string | undefined {
  if (source !== 'built-in') return undefined
  const date = new Date(BUILT_IN_FROM.at).toISOString().slice(0, 10)
  return (
    `The service's list of models is not known, so the built-in one is used: that of ` +
    `${BUILT_IN_FROM.client}, of ${date}. ${problem ?? ''}`.trimEnd()
  )
}

const Kept = z.object({
  models: z.array(ModelEntry).min(1),
  checkedAt: z.number(),
  etag: z.string().optional(),
})
type Kept = z.infer<typeof Kept>

function fromCache({ models, checkedAt }: Kept): Catalogue {
  return { models, source: 'cache', checkedAt }
}

/** @throws CodexboxError `model-unreachable`, `model-refused` */
async function download(
  kept: Kept | undefined,
  options: CatalogueOptions,
): Promise<Pick<Kept, 'models' | 'etag'>> {
  const { codexBaseUrl, headersFor, signal, timeoutMs = TIMEOUT_MS } = options
  const etag = kept?.etag
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
  if (answer.status === 304 && kept) return kept
  if (answer.status !== 200) throw notUsed(`status ${answer.status} came back`)
  const models = readModels(answer.json)
  // Less than nothing is known after that: whoever has an account can ask some model.
  if (models.length === 0) throw notUsed('an answer without models came back')
  return { models, ...(isEtag(answer.etag) ? { etag: answer.etag } : {}) }
}

function modelsUrl(codexBaseUrl: URL): URL {
  const url = new URL(`${codexBaseUrl.pathname.replace(/\/+$/, '')}/models`, codexBaseUrl)
  url.searchParams.set('client_version', UNGATED_CLIENT_VERSION)
  return url
}

/** It is sent back, so it must fit into a header (RFC 9110, 8.8.3). */
function isEtag(value: string | undefined): value is string {
  return value !== undefined && /^(W\/)?"[\x21\x23-\x7e]{0,500}"$/.test(value)
}

const notUsed = (what: string) =>
  new CodexboxError('model-refused', `Asked the service for its models: ${what}.`)

/** What `work` brings within `ms`, or `otherwise`. */
async function within<T>(ms: number, work: Promise<T>, otherwise: T): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<T>((resolve) => {
    timer = setTimeout(() => resolve(otherwise), ms)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}
