import { randomBytes } from 'node:crypto'
import type { ModelEntry } from '../../models/model-entry.ts'
import {
  type RequestSettings,
  settingsFrom,
  type WantedSettings,
} from '../../models/request-settings.ts'
import { agentFile } from '../../package-root.ts'
import type { ProviderPlugin } from '../../providers/provider.ts'
import { startDemoBackend } from './demo-backend.ts'
import { DEMO_MODEL } from './responses-request.ts'

export interface DemoProviderOptions {
  /** Delay in ms after each text delta. Default 20; 0 for none. */
  paceMs?: number
  /** Prints the message of `setup` that nothing is to be done. Default: stdout. */
  print?: (line: string) => void
}

/** A script instead of a model: shows the complete path at work without an account. */
export function demoProvider(options: DemoProviderOptions = {}): ProviderPlugin {
  const { paceMs, print = console.log } = options
  const secrets = { CODEX_ACCESS_TOKEN: randomBytes(32).toString('base64url') }

  return {
    name: 'demo',
    containerProvider: agentFile,
    isAuthenticated: () => true,
    getSecrets: async () => ({ ...secrets }),

    async setup() {
      print('The demo needs no sign-in: there is nothing to set up.')
    },

    models: async () => ({ models: [demoModel], source: 'built-in' }),

    async connect() {
      const token = secrets.CODEX_ACCESS_TOKEN
      const backend = await startDemoBackend({ token, ...(paceMs === undefined ? {} : { paceMs }) })
      return {
        responsesUrl: backend.url,
        headers: { originator: 'codexbox' },
        settingsFor: async (wanted) => demoSettings(wanted),
        owner: 'demo',
        getSecrets: async () => ({ ...secrets }),
        close: () => backend.close(),
      }
    },
  }
}

/** Drops the effort: `settingsFrom` lets any effort pass for a model without a list, and the script has none. */
function demoSettings({ effort, ...wanted }: WantedSettings): RequestSettings {
  const settings = settingsFrom([demoModel], wanted, 'plain')
  if (effort === undefined) return settings
  const notice = `The scripted demo knows no effort; "${effort}" is left out.`
  return { ...settings, notices: [...settings.notices, notice] }
}

/** The script has none of the optional capabilities. */
export const demoModel: ModelEntry = {
  slug: DEMO_MODEL,
  name: 'Scripted demo',
  priority: 1,
  isListed: true,
  efforts: [],
  hasVerbosity: false,
  usablePercent: 100,
  lite: false,
  applyPatch: false,
  images: false,
  webSearch: false,
}
