import type { CodexboxError } from '../../shared/errors.ts'
import type { Limits } from '../../shared/limits.ts'
import type { Secrets } from '../../shared/secrets.ts'
import type { Catalogue } from '../models/catalogue.ts'
import type { SeenLimits } from '../models/plan-limits.ts'
import type { RequestSettings, WantedSettings } from '../models/request-settings.ts'

/**
 * Access to a model. The first five members are the contract of NanoClaw-like hosts and never change;
 * the members for this package's own runner are optional.
 */
export interface ProviderPlugin {
  readonly name: string

  /**
   * Fresh secrets for one container start: `CODEX_ACCESS_TOKEN`, `CODEX_ACCOUNT_ID`. Renews a token
   * that is about to expire. Throws `CodexboxError` (`not-signed-in`, `refresh-failed`); never
   * returns an empty map, with which a container would start and fail.
   */
  getSecrets(): Promise<Record<string, string>>

  /** Whether a run could start now. Reads local state only: no network, no lock, no write. */
  isAuthenticated(): boolean

  /** Signs in, interactively. Throws `CodexboxError` (`sign-in-failed`). */
  setup(): Promise<void>

  /** Absolute path of the container script, one file that needs only Node. */
  readonly containerProvider: string

  /** Why `isAuthenticated` is false, as the error of a run. Local state only. */
  whyNotAuthenticated?(): CodexboxError | undefined

  /** The available models, from the service if possible. Throws like `getSecrets`. */
  models?(): Promise<Catalogue>

  /**
   * The limits of the plan; absent for a provider without plans. Throws like `getSecrets`, and
   * `CodexboxError` (`model-unreachable`, `model-refused`) without any figures.
   */
  limits?(): Promise<SeenLimits>

  /** Opens the model connection of one conversation. The caller closes it. */
  connect?(): Promise<ModelConnection>
}

export interface ModelConnection {
  /** The full URL of the Responses endpoint, as seen from the host. */
  readonly responsesUrl: URL
  /** The client's identity for the service: `originator`, `user-agent`. Never a secret. */
  readonly headers: Record<string, string>
  /** Whether bodies may be sent as zstd; not every server of this interface supports it. Default: no. */
  readonly takesZstd?: boolean
  /**
   * The owner of encrypted reasoning, which is only sent back to the same owner. Provider and account,
   * never a secret.
   */
  readonly owner: string

  /**
   * Settings for the wanted model, or else the default one, adjusted to its capabilities. Uses a cached
   * catalogue where possible: it never waits long and never fails.
   */
  settingsFor(wanted: WantedSettings): Promise<RequestSettings>

  /**
   * Takes the limits of the plan from an answer, for a later `limits`; `persisted` settles when they are on
   * disk. `notices` are for the user. Never fails.
   */
  sawLimits?(limits: Limits): { notices: readonly string[]; persisted: Promise<void> }

  /**
   * The credentials for the next request. `rejectedToken` is a token the service has just refused: it is
   * renewed, unless another process already did. Throws like `getSecrets`.
   */
  getSecrets(rejectedToken?: string): Promise<Secrets>

  close(): Promise<void>
}
