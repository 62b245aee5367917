import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'

interface Reply {
  status?: number
  json?: unknown
  text?: string
  headers?: Record<string, string>
}

/**
 * `hang` never answers, `stall` does not finish its body, `cut` closes the connection; a function
 * answers what the query asks for.
 */
export type JsonReply = 'hang' | 'stall' | 'cut' | Reply | ((query: URLSearchParams) => Reply)

export interface JsonService {
  readonly url: URL
  readonly requests: { path: string; headers: IncomingHttpHeaders; body: string }[]
  /** Answers by path, without the query, each used up one by one; the last stays. */
  readonly replies: Record<string, JsonReply[]>
  /** Resolves when so many requests have come for a path that begins so. */
  asked(path: string, times: number): Promise<void>
  close(): Promise<void>
}

/** A real server on a free port that answers as the service of an account. Without a script: 404. */
export async function startJsonService(
  replies: Record<string, JsonReply[]> = {},
): Promise<JsonService> {
  const requests: JsonService['requests'] = []
  const server = createServer(async (request, response) => {
    const path = request.url ?? ''
    requests.push({ path, headers: request.headers, body: await text(request) })
    server.emit('asked')
    const { pathname, searchParams } = new URL(path, 'http://localhost')
    const queue = replies[pathname] ?? []
    const next = (queue.length > 1 ? queue.shift() : queue[0]) ?? { status: 404, text: 'None' }
    const reply = typeof next === 'function' ? next(searchParams) : next
    if (reply === 'hang') return
    if (reply === 'cut') return void response.destroy()
    if (reply === 'stall') return void response.writeHead(200).write('{"models":[')
    const { status = 200, headers, text: page } = reply
    response.writeHead(status, {
      'content-type': page === undefined ? 'application/json' : 'text/html',
      ...headers,
    })
    response.end(status === 304 ? undefined : (page ?? JSON.stringify(reply.json)))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`),
    requests,
    replies,
    asked: async (path, times) => {
      while (requests.filter((request) => request.path.startsWith(path)).length < times) {
        await once(server, 'asked')
      }
    },
    close: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
