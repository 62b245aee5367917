import { CodexboxError } from '../../shared/errors.ts'
import type { Config } from '../config.ts'
import { dockerEngine } from './docker-engine.ts'
import { createDocker } from './docker-host.ts'
import type { Engine } from './engine.ts'
import { processEngine } from './process-engine.ts'
import { removeAbandoned } from './reaper.ts'

export interface EngineChoice {
  engine: Engine
  /** Why the preferred engine cannot be used; for the user. */
  missing?: CodexboxError
}

/**
 * The named engine, or else Docker when it can be used. Only the demo falls back to plain
 * processes: its commands are this package's, not a model's.
 * @throws CodexboxError like `Engine.check`
 */
export async function chooseEngine(
  config: Pick<Config, 'engine' | 'image'>,
  mayFallBack: boolean,
): Promise<EngineChoice> {
  if (config.engine === 'process') return { engine: processEngine }
  try {
    const { docker, source } = createDocker()
    const engine = dockerEngine(docker, config.image, source)
    await engine.check()
    // Runs beside the next start, which need not wait for it.
    void removeAbandoned(docker)
    return { engine }
  } catch (error) {
    const isNamed = config.engine === 'docker'
    if (isNamed || !mayFallBack || !(error instanceof CodexboxError)) throw error
    return { engine: processEngine, missing: error }
  }
}
