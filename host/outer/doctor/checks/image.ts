import type Dockerode from 'dockerode'
import { TOOLS_IMAGE_LABEL } from '../../../engine/tools-image.ts'
import { setupCommand } from '../../../package-root.ts'
import { type Check, type Finding, ok, problem, warning } from '../finding.ts'
import { withEngine } from './with-engine.ts'

const DAY_MS = 24 * 60 * 60_000
/** By this age the image's tools have known vulnerabilities. */
const OLD_DAYS = 180

/** Checks that the image exists; the sandbox check tries its contents. */
export const imageCheck: Check = {
  name: 'image',
  look(machine) {
    const { engine, image } = machine.config
    if (engine === 'process') return ok('None is needed with AGENT_ENGINE=process.')
    return withEngine(machine, (docker) => inspectImage(docker, image))
  },
}

async function inspectImage(docker: Dockerode, image: string): Promise<Finding> {
  const make = setupCommand('image')
  const info = await docker.getImage(image).inspect().catch(undefinedIfMissing)
  if (!info) return problem(`There is no image ${image}.`, `Make it: ${make}`)
  const days = Math.floor((Date.now() - Date.parse(info.Created)) / DAY_MS)
  const isOurs = info.Config?.Labels?.[TOOLS_IMAGE_LABEL] === '1'
  const about = `${image}, ${isOurs ? 'made by setup' : 'not made by setup'}, ${ageOf(days)} old`
  if (days <= OLD_DAYS) return ok(`${about}.`)
  return warning(`${about}.`, isOurs ? `Make it anew: ${make} --force` : 'Look for a newer one.')
}

function ageOf(days: number): string {
  return days < 1 ? 'less than a day' : `${days} ${days === 1 ? 'day' : 'days'}`
}

function undefinedIfMissing(error: Error & { statusCode?: number }): undefined {
  if (error.statusCode !== 404) throw error
}
