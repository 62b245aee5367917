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
import { Capabilities, notGranted } from './capabilities.ts'
import { type Refusal, refuse } from './refusal.ts'
import type { RequestLog } from './request-log.ts'
import type { Budget, RunUsage } from './run-budget.ts'
import { serveRequest } from './serve-request.ts'

/** The one thing a container can ask for. The host name means nothing: it is reached by its socket. */
export const GATEWAY_PATH = '/v1/responses'
export const GATEWAY_URL = `http://gateway${GATEWAY_PATH}`

/**
 * The agent has one or two, which are in use as long as their capability is good. Tools can connect as well, without
 * a capability.
 */
const CONNECTIONS = { connections: 64, unusedMs: 5000 }

/** How long a request with a capability may take to come. */
const REQUEST_MS = 60_000

export interface GatewayOptions {
  /** What may be asked. */
  runPolicy: RunPolicy
  /** How much of it, in each run. */
  budget: Budget
  requestLog?: RequestLog
  debug?: DebugLog
}

export interface Gateway {
  /** Holds `gateway.sock`; to be mounted as a folder, read-only. */
  readonly socketFolder: string
  /** Settles with the first connection, whatever it is for: the socket can be used from where it is mounted. */
  readonly reached: Promise<void>
  /**
   * A 256-bit capability that lets its holder ask the model for this run, until it is revoked or the
   * run's time is over. A further one for the same run has what is left of the run's budget.
   */
  grant(runId: string): string
  /** What is under way gets a second to its end. */
  revoke(capability: string): void
  /** What a run has had, if it was ever granted anything. */
  usageOf(runId: string): Readonly<RunUsage> | undefined
  close(): Promise<void>
}

/**
 * The host's end of sealed mode: a unix socket for one conversation. It takes one method and path
 * with a live capability, checks each request against the run's policy and budget, puts the real
 * credentials on, and hands the stream through. What a container sends beside the body and a few
 * headers never reaches the service.
 * @throws CodexboxError `config-invalid` when there is no place for the socket
 */
export async function openGateway(
  connection: ModelConnection,
  { runPolicy, budget, requestLog, debug = openDebugLog(undefined) }: GatewayOptions,
): Promise<Gateway> {
  const grants = new Capabilities(budget)
  const policy = bodyPolicy(runPolicy)
  const lastAnswers = new WeakMap<Socket, http.ServerResponse>()
  const server = http.createServer({ connectionsCheckingInterval: 5000 }, (request, response) => {
    const { socket } = request
    // The agent waits for each answer. Of several, Node would tell only the first that the connection is gone.
    if (lastAnswers.get(socket)?.closed === false) return void socket.destroy()
    lastAnswers.set(socket, response)
    const grant = grants.find(request.headers.authorization)
    connections.use(socket, () => grant !== undefined && (grant.isGood || grant.underWay.size > 0))
    if (request.method !== 'POST' || request.url !== GATEWAY_PATH) return refuse(response, notFound)
    if (!grant) return refuse(response, notGranted)
    void serveRequest(request, response, {
      grant,
      connection,
      runPolicy: runPolicy,
      policy,
      requestLog,
      debug,
    })
  })
  server.requestTimeout = REQUEST_MS
  // The agent's connection outlives the longest command: it need not get one among many that connect.
  server.keepAliveTimeout = 0
  const connections = new Connections(server, CONNECTIONS)
  const reached = new Promise<void>((resolve) => server.once('connection', () => resolve()))

  // What killed hosts have left; nobody waits for it.
  void removeAbandonedTempFolders()
  // Private, since the socket itself is not: its folder is mounted, and the agent in the container is
  // another user than we are.
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
    grant: (runId) => grants.add(runId),
    revoke: (capability) => grants.revoke(capability),
    usageOf: (runId) => grants.usageOf(runId),
    async close() {
      grants.revokeAll()
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
