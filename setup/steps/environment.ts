import { existsSync } from 'node:fs'
import { chooseEngine } from '../../host/engine/choose-engine.ts'
import { agentFile, setupCommand } from '../../host/package-root.ts'
import { codexProvider } from '../../host/providers/codex.ts'
import { CodexboxError } from '../../shared/errors.ts'
import { refuseArguments, type Step } from '../step.ts'

const NO_SIGN_IN = `Everything is here but a sign-in to ChatGPT: \`${setupCommand('codex-auth')}\`.`

/** Reports the environment without changes: the parts present, the parts missing, and advice. */
export const environmentStep: Step = {
  name: 'environment',
  summary: 'Report what this machine has',

  async run(args, config) {
    const refused = refuseArguments('environment', args)
    if (refused) return refused
    const missing: string[] = []
    let engine = 'none'
    let image = 'unknown'
    try {
      const choice = await chooseEngine({ ...config, engine: 'docker' }, false)
      engine = choice.engine.description
      image = 'present'
    } catch (error) {
      if (!(error instanceof CodexboxError)) throw error
      if (error.code === 'image-missing') {
        engine = 'present'
        image = 'missing'
      }
      missing.push(error.message)
    }
    const isSignedIn = codexProvider({ config }).isAuthenticated()
    const isBuilt = existsSync(agentFile)
    if (!isBuilt) missing.push('The container script is not built: npm run build.')

    return {
      status: 'unchanged',
      fields: {
        NODE: process.versions.node,
        PLATFORM: `${process.platform} ${process.arch}`,
        ENGINE: engine,
        IMAGE: `${config.image} (${image})`,
        SIGNED_IN: isSignedIn ? 'yes' : 'no',
        DATA_DIR: config.dataDir,
        AGENT_SCRIPT: isBuilt ? 'built' : 'missing',
        READY_FOR: missing.length > 0 ? 'demo without a container' : isSignedIn ? 'runs' : 'demo',
      },
      detail: missing.join(' ') || (isSignedIn ? 'Everything is here.' : NO_SIGN_IN),
    }
  },
}
