import type { CodexboxError } from '../../shared/errors.ts'
import type { Limits } from '../../shared/limits.ts'
import type { Secrets } from '../../shared/secrets.ts'
import type { Catalogue } from '../models/catalogue.ts'
import type { SeenLimits } from '../models/plan-limits.ts'
import type { RequestSettings, WantedSettings } from '../models/request-settings.ts'

/**
 * A way to a model. The first five members are the contract of NanoClaw-like hosts and never change;
 * what our own runner needs besides is optional.
 */
export interface ProviderPlugin {
  readonly name: string

  /**
   * Fresh secrets for one container start: `CODEX_ACCESS_TOKEN`, `CODEX_ACCOUNT_ID`. Renews a token
   * that is about to expire. Throws `CodexboxError` (`not-signed-in`, `refresh-failed`); never
   * returns an empty map, so that no container is started only to fail.
   */
  getSecrets(): Promise<Record<string, string>>

  /** Whether a run could start now. Reads local state only: no network, no lock, no write. */
  isAuthenticated(): boolean

  /** Signs in, interactively. Throws `CodexboxError` (`sign-in-failed`). */
  setup(): Promise<void>

  /** The container script: absolute path of one file that needs nothing but Node. */
  readonly containerProvider: string

  /** Why `isAuthenticated` says no, as the error a run would end with. Local state only. */
  whyNotAuthenticated?(): CodexboxError | undefined

  /** The models that can be asked, as fresh as can be had. Throws like `getSecrets`. */
  models?(): Promise<Catalogue>

  /**
   * What is left of the plan; without this member there is none. Throws like `getSecrets`, and
   * `CodexboxError` (`model-unreachable`, `model-refused`) when nothing is known.
   */
  limits?(): Promise<SeenLimits>

  /** Opens what one conversation needs to reach the model. The caller closes it. */
  connect?(): Promise<ModelConnection>
}

export interface ModelConnection {
  /** The full URL of the Responses endpoint, as seen from the host. */
  readonly responsesUrl: URL
  /** Who we are, to the service: `originator`, `user-agent`. Never a secret. */
  readonly headers: Record<string, string>
  /** Whether bodies may be sent as zstd; not every server of this interface knows it. Default: no. */
  readonly takesZstd?: boolean
  /**
   * Whom encrypted reasoning belongs to: it is only sent back under the same stamp. Provider and
   * account, never a secret.
   */
  readonly owner: string

  /**
   * How to ask the model that is wanted, or else the default one. Fits what is wanted to what the
   * model can do, by what is known already: it never waits for long, and never fails.
   */
  settingsFor(wanted: WantedSettings): Promise<RequestSettings>

  /**
   * Takes what an answer said about the limits of the plan, for `limits` to know; `kept` settles when
   * it is on the disk. `notices` is what the person is to be told of it. Never fails.
   */
  sawLimits?(limits: Limits): { notices: readonly string[]; kept: Promise<void> }

  /**
   * The credentials for the next request. `rejectedToken` is a token the service has just refused:
   * it is renewed, unless somebody already did. Throws like `getSecrets`.
   */
  getSecrets(rejectedToken?: string): Promise<Secrets>

  close(): Promise<void>
}
