import { MANAGED_LABEL } from '../../../engine/owner-labels.ts'
import { removeAbandoned } from '../../../engine/reaper.ts'
import { removeAbandonedTempFolders } from '../../../storage/owned-temp-folder.ts'
import { type Check, type Finding, ok } from '../finding.ts'
import { withEngine } from './with-engine.ts'

/** Removes the leftovers that each run removes at its start. */
export const leftoversCheck: Check = {
  name: 'leftovers',
  async look(machine) {
    const folders = await removeAbandonedTempFolders()
    const finding = (containers = 0, running = 0) => describe(folders.length, containers, running)
    if (machine.config.engine === 'process') return finding()
    return withEngine(machine, async (docker) => {
      const removed = await removeAbandoned(docker)
      const managed = await docker.listContainers({ filters: { label: [MANAGED_LABEL] } })
      return finding(removed.length, managed.filter(isOfConversation).length)
    })
  },
}

function describe(folders: number, containers: number, running: number): Finding {
  const removed = [count(folders, 'temporary folder'), count(containers, 'container')]
  const what = removed.filter(Boolean).join(' and ')
  const sentences = [
    what ? `Removed what hosts that were killed had left: ${what}.` : 'Nothing was left behind.',
    running > 0 ? `${count(running, 'container')} of conversations at work.` : '',
  ]
  return ok(sentences.filter(Boolean).join(' '))
}

/** The sandbox check's probe container has the same label. */
const isOfConversation = ({ Names }: { Names: string[] }) =>
  !Names.some((name) => name.startsWith('/codexbox-probe-'))

function count(number: number, noun: string): string {
  return number === 0 ? '' : `${number} ${noun}${number === 1 ? '' : 's'}`
}
