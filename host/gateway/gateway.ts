import { chmod, rm } from 'node:fs/promises'
import http from 'node:http'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { CodexboxError, messageOf } from '../../shared/errors.ts'
import { type DebugLog, openDebugLog } from '../debug-log.ts'
import { Connections } from '../net/connections.ts'
import type { ModelConnection } from '../providers/provider.ts'
import {
  addSharedFolder,
  makeOwnedTempFolder,
  removeAbandonedTempFolders,
} from '../storage/owned-temp-folder.ts'
import { bodyPolicy, type RunPolicy } from './body-policy.ts'
import { Capabilities, capabilityRefused } from './capabilities.ts'
import { type Refusal, refuse } from './refusal.ts'
import type { RequestLog } from './request-log.ts'
import type { Budget, RunUsage } from './run-budget.ts'
import { serveRequest } from './serve-request.ts'

/** The only path of the gateway. The host name is ignored: the gateway listens on a socket. */
export const GATEWAY_PATH = '/v1/responses'
export const GATEWAY_URL = `http://gateway${GATEWAY_PATH}`

/**
 * The agent has one or two connections, in use as long as their capability is valid. Tools can connect as well,
 * without a capability.
 */
const CONNECTIONS = { connections: 64, unusedMs: 5000 }

/** How long a request with a capability may take to arrive. */
const REQUEST_MS = 60_000

export interface GatewayOptions {
  /** Which requests are allowed. */
  runPolicy: RunPolicy
  /** The limits of each run. */
  budget: Budget
  requestLog?: RequestLog
  debug?: DebugLog
}

export interface Gateway {
  /** Holds `gateway.sock`; to be mounted as a folder, read-only. */
  readonly socketFolder: string
  /** Settles with the first connection, of any kind: the mounted socket works. */
  readonly reached: Promise<void>
  /**
   * A 256-bit capability: its holder may send model requests for this run, until it is revoked or the
   * run's time is over. All capabilities of a run share its budget.
   */
  grant(runId: string): string
  /** Open requests get a second to end. */
  revoke(capability: string): void
  /** The usage of a run; undefined for a run that never had a capability. */
  usageOf(runId: string): Readonly<RunUsage> | undefined
  close(): Promise<void>
}

/**
 * The host's end of sealed mode: a unix socket for one conversation. It takes one method and path
 * with a live capability, checks each request against the run's policy and budget, adds the real
 * credentials, and passes the stream through. Only the body and a few headers of a container's
 * request reach the service.
 * @throws CodexboxError `config-invalid` when the socket cannot be created
 */
export async function openGateway(
  connection: ModelConnection,
  { runPolicy, budget, requestLog, debug = openDebugLog(undefined) }: GatewayOptions,
): Promise<Gateway> {
  const capabilities = new Capabilities(budget)
  const policy = bodyPolicy(runPolicy)
  const lastAnswers = new WeakMap<Socket, http.ServerResponse>()
  const server = http.createServer({ connectionsCheckingInterval: 5000 }, (request, response) => {
    const { socket } = request
    // The agent sends one request at a time: with pipelining, Node reports a lost connection only to the first.
    if (lastAnswers.get(socket)?.closed === false) return void socket.destroy()
    lastAnswers.set(socket, response)
    const capability = capabilities.find(request.headers.authorization)
    connections.use(
      socket,
      () => capability !== undefined && (capability.isValid || capability.openRequests.size > 0),
    )
    if (request.method !== 'POST' || request.url !== GATEWAY_PATH) return refuse(response, notFound)
    if (!capability) return refuse(response, capabilityRefused)
    void serveRequest(request, response, {
      capability,
      connection,
      runPolicy,
      policy,
      requestLog,
      debug,
    })
  })
  server.requestTimeout = REQUEST_MS
  // The agent's connection outlives the longest command, so it never competes with tools for a new one.
  server.keepAliveTimeout = 0
  const connections = new Connections(server, CONNECTIONS)
  const reached = new Promise<void>((resolve) => server.once('connection', () => resolve()))

  // Removes sockets of killed hosts, in the background.
  void removeAbandonedTempFolders()
  // The parent folder is private, since the socket is not: its own folder is mounted, and the agent in the
  // container is a different user.
  const folder = makeOwnedTempFolder()
  const socketFolder = addSharedFolder(folder, 's')
  try {
    await listen(server, join(socketFolder, 'gateway.sock'))
  } catch (error) {
    await rm(folder, { recursive: true, force: true })
    throw error
  }

  return {
    socketFolder,
    reached,
    grant: (runId) => capabilities.add(runId),
    revoke: (capability) => capabilities.revoke(capability),
    usageOf: (runId) => capabilities.usageOf(runId),
    async close() {
      capabilities.revokeAll()
      const closed = new Promise((resolve) => server.close(resolve))
      connections.destroyAll()
      await closed
      await rm(folder, { recursive: true, force: true })
    },
  }
}

async function listen(server: http.Server, socketPath: string): Promise<void> {
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(socketPath, resolve)
    })
  } catch (error) {
    throw new CodexboxError(
      'config-invalid',
      `No socket could be made in a temporary folder: ${messageOf(error)}. Set TMPDIR to one on another disk.`,
      { cause: error },
    )
  }
  await chmod(socketPath, 0o666)
}

const notFound: Refusal = {
  status: 404,
  code: 'not_found',
  message: `Only POST ${GATEWAY_PATH} is served here.`,
}
