import { relative } from 'node:path'
import { liesIn } from '../../shared/lies-in.ts'
import { packageRoot } from '../package-root.ts'

/**
 * What to tell the user where our own code lies in the workspace, as it does in a project that has codexbox among
 * its packages: no container keeps an agent from what we are at the next start.
 */
export function ownCodeNotice(workspace: string, ownCode = packageRoot): string | undefined {
  if (!liesIn(ownCode, workspace)) return undefined
  const place = relative(workspace, ownCode)
  return (
    `codexbox itself lies in this workspace (${place || '.'}), where an agent can change it: that would run as you, ` +
    'with your sign-in, when it is started next. Install it elsewhere, such as with npm install --global codexbox.'
  )
}
