import { settingsFrom } from '../../../models/request-settings.ts'
import { agentFile } from '../../../package-root.ts'
import type { ProviderPlugin } from '../../../providers/provider.ts'
import { startDemoBackend } from '../../demo/demo-backend.ts'
import { demoModel } from '../../demo/demo-provider.ts'

/**
 * A provider like the real one, with a script instead of the model and `token` instead of the real
 * token. `publish` makes the service reachable for a container that connects to it directly.
 */
export function decoyProvider(
  token: string,
  publish: (url: URL) => Promise<{ url: URL; close(): Promise<void> }>,
): ProviderPlugin {
  const secrets = { CODEX_ACCESS_TOKEN: token, CODEX_ACCOUNT_ID: 'decoy-account' }
  return {
    name: 'decoy',
    containerProvider: agentFile,
    isAuthenticated: () => true,
    getSecrets: async () => ({ ...secrets }),
    setup: async () => {},
    async connect() {
      const backend = await startDemoBackend({ token, paceMs: 0 })
      const published = await publish(backend.url)
      return {
        responsesUrl: published.url,
        headers: { originator: 'codexbox' },
        settingsFor: async (wanted) => settingsFrom([demoModel], wanted, 'plain'),
        owner: 'decoy',
        getSecrets: async () => ({ ...secrets }),
        async close() {
          await published.close()
          await backend.close()
        },
      }
    },
  }
}
