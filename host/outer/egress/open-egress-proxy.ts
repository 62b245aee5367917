import { join } from 'node:path'
import type { OpenEgressProxy } from '../../runs/network.ts'
import { egressAudit } from './audit.ts'
import { openEgress } from './connect-proxy.ts'

/** Stands beside the gateway's socket. */
export const EGRESS_SOCKET = 'egress.sock'

/** A proxy of which every request is logged, and each refused host told once. */
export const openEgressProxy: OpenEgressProxy = async (options) => {
  const { socketFolder, allow, conversation, append: note, tell } = options
  const onTarget = egressAudit(conversation, { note, tell })
  const { close } = await openEgress(join(socketFolder, EGRESS_SOCKET), { allow, onTarget })
  return { socketName: EGRESS_SOCKET, close }
}
