import type Dockerode from 'dockerode'
import { TOOLS_IMAGE_LABEL } from '../../../engine/tools-image.ts'
import { setupCommand } from '../../../package-root.ts'
import { type Check, type Finding, ok, problem, warning } from '../finding.ts'
import { withEngine } from './with-engine.ts'

const DAY_MS = 24 * 60 * 60_000
/** Its tools have known holes by then. */
const OLD_DAYS = 180

/** That it is there; what is in it is tried by the check of the sandbox. */
export const imageCheck: Check = {
  name: 'image',
  look(machine) {
    const { engine, image } = machine.config
    if (engine === 'process') return ok('None is needed with AGENT_ENGINE=process.')
    return withEngine(machine, (docker) => lookAt(docker, image))
  },
}

async function lookAt(docker: Dockerode, image: string): Promise<Finding> {
  const make = setupCommand('image')
  const found = await docker.getImage(image).inspect().catch(notThere)
  if (!found) return problem(`There is no image ${image}.`, `Make it: ${make}`)
  const days = Math.floor((Date.now() - Date.parse(found.Created)) / DAY_MS)
  const isOurs = found.Config?.Labels?.[TOOLS_IMAGE_LABEL] === '1'
  const about = `${image}, ${isOurs ? 'made by setup' : 'not made by setup'}, ${ageOf(days)} old`
  if (days <= OLD_DAYS) return ok(`${about}.`)
  return warning(`${about}.`, isOurs ? `Make it anew: ${make} --force` : 'Look for a newer one.')
}

function ageOf(days: number): string {
  return days < 1 ? 'less than a day' : `${days} ${days === 1 ? 'day' : 'days'}`
}

function notThere(error: Error & { statusCode?: number }): undefined {
  if (error.statusCode !== 404) throw error
}
