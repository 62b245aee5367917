import { join } from 'node:path'
import type { OpenEgressProxy } from '../../runs/network.ts'
import { egressAudit } from './audit.ts'
import { openEgress } from './connect-proxy.ts'

/** In the same folder as the gateway's socket. */
export const EGRESS_SOCKET = 'egress.sock'

/** Opens a proxy that logs every request and reports each refused host once. */
export const openEgressProxy: OpenEgressProxy = async (options) => {
  const { socketFolder, allow, conversation, append: note, tell } = options
  const onTarget = egressAudit(conversation, { note, tell })
  const { close } = await openEgress(join(socketFolder, EGRESS_SOCKET), { allow, onTarget })
  return { socketName: EGRESS_SOCKET, close }
}
