/**
 * The public API.
 *
 * The default export is the `codex` provider for NanoClaw-like hosts; the named exports are for
 * programs that run an agent themselves.
 */
import { readConfig } from './config.ts'
import { agentFile } from './package-root.ts'
import { codexProvider } from './providers/codex.ts'
import type { ProviderPlugin } from './providers/provider.ts'

export { CodexboxError, type ErrorCode } from '../shared/errors.ts'
export type { Item } from '../shared/items.ts'
export type { Limit, Limits, LimitWindow } from '../shared/limits.ts'
export { type FinishedEvent, RunEvent, type RunLimits, type Usage } from '../shared/protocol.ts'
export { PROTOCOL_VERSION } from '../shared/protocol-version.ts'
export type { Secrets } from '../shared/secrets.ts'
export { type Config, readConfig } from './config.ts'
export type { Catalogue } from './models/catalogue.ts'
export type { ModelEntry } from './models/model-entry.ts'
export type { SeenLimits } from './models/plan-limits.ts'
export type { RequestSettings, WantedSettings } from './models/request-settings.ts'
export { type ConversationOptions, openConversation } from './open-conversation.ts'
export { demoProvider } from './outer/demo/demo-provider.ts'
export { codexProvider } from './providers/codex.ts'
export { openaiProvider } from './providers/openai.ts'
export type { ModelConnection, ProviderPlugin } from './providers/provider.ts'
export type { Conversation } from './runs/conversation.ts'
export type { Run, RunResult } from './runs/run.ts'
export {
  listSessions,
  readSession,
  removeSession,
  type SessionLine,
  type SessionSummary,
} from './runs/session-log.ts'

// Settings are read when a member is used, so that importing has no effects and cannot fail.
const codex = () => codexProvider({ config: readConfig() })

const plugin: ProviderPlugin = {
  name: 'codex',
  getSecrets: () => codex().getSecrets(),
  isAuthenticated: () => codex().isAuthenticated(),
  setup: () => codex().setup(),
  models: () => codex().models(),
  limits: () => codex().limits(),
  connect: () => codex().connect(),
  containerProvider: agentFile,
}
export default plugin
