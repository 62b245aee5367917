import { existsSync } from 'node:fs'
import { agentFile, packageVersion } from '../../../package-root.ts'
import { type Check, ok, problem } from '../finding.ts'

/** The same as `engines.node` in package.json. */
const [MAJOR, MINOR] = [20, 19]

export const nodeCheck: Check = {
  name: 'node',
  look() {
    const { node } = process.versions
    const [major = 0, minor = 0] = node.split('.').map(Number)
    if (major < MAJOR || (major === MAJOR && minor < MINOR)) {
      return problem(`Node ${node} is too old.`, `Install Node ${MAJOR}.${MINOR} or newer.`)
    }
    if (!existsSync(agentFile)) {
      return problem(`The container script ${agentFile} is missing.`, 'Make it: npm run build')
    }
    const { platform, arch } = process
    return ok(`Node ${node} on ${platform} ${arch}, codexbox ${packageVersion}.`)
  },
}
