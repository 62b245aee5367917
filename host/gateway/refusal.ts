import type http from 'node:http'

/** An answer of the gateway's own. */
export interface Refusal {
  status: number
  code: string
  /** One sentence. */
  message: string
}

/** In the service's own error form, so that the container has one way to read errors. */
export function refuse(response: http.ServerResponse, { status, code, message }: Refusal): void {
  if (response.headersSent) {
    response.destroy()
    return
  }
  // The connection stays: closed with a part of the request unread, it would take the answer along.
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(JSON.stringify({ error: { code, message } }))
}
