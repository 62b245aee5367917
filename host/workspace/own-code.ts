import { relative } from 'node:path'
import { liesIn } from '../../shared/lies-in.ts'
import { packageRoot } from '../package-root.ts'

/**
 * The notice for a workspace with codexbox's own code in it, as in a project that has codexbox among
 * its packages: despite the container, an agent could change the code of the next start.
 */
export function ownCodeNotice(workspace: string, ownCode = packageRoot): string | undefined {
  if (!liesIn(ownCode, workspace)) return undefined
  const place = relative(workspace, ownCode)
  return (
    `codexbox itself lies in this workspace (${place || '.'}), where an agent can change it: that would run as you, ` +
    'with your sign-in, when it is started next. Install it elsewhere, such as with npm install --global codexbox.'
  )
}
