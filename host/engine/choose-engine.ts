import { CodexboxError } from '../../shared/errors.ts'
import type { Config } from '../config.ts'
import { dockerEngine } from './docker-engine.ts'
import { createDocker } from './docker-host.ts'
import type { Engine } from './engine.ts'
import { processEngine } from './process-engine.ts'
import { removeAbandoned } from './reaper.ts'

export interface EngineChoice {
  engine: Engine
  /** Why it is not the one that would have been preferred; for the user. */
  missing?: CodexboxError
}

/**
 * The engine that was named, or else Docker when it can be used. Only the demo falls back to plain
 * processes: its commands are ours and not a model's.
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
    // Beside whatever is started next, which need not wait for it.
    void removeAbandoned(docker)
    return { engine }
  } catch (error) {
    const isNamed = config.engine === 'docker'
    if (isNamed || !mayFallBack || !(error instanceof CodexboxError)) throw error
    return { engine: processEngine, missing: error }
  }
}
