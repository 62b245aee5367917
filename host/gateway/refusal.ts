import type http from 'node:http'
import { UPSTREAM_UNREACHABLE } from '../../shared/gateway-errors.ts'

/** An error answer of the gateway itself. */
export interface Refusal {
  status: number
  code: string
  /** One sentence. */
  message: string
}

/** In the service's error format, so that the container parses only one. */
export function refuse(response: http.ServerResponse, refusal: Refusal): void {
  const { status, code, message } = refusal
  const error = { code, message }
  if (!response.headersSent) {
    // The connection stays open: closing it with a part of the request unread would discard the answer.
    response.writeHead(status, { 'content-type': 'application/json' })
    response.end(JSON.stringify({ error }))
  } else if (code === UPSTREAM_UNREACHABLE) {
    response.end(`${NO_EVENT}data: ${JSON.stringify({ type: 'error', error })}\n\n`)
  } else {
    response.destroy()
  }
}

/** Invalidates an event that the stream broke off inside of, even if only its last line break was missing. */
const NO_EVENT = '\ndata: broken off\n\n'
