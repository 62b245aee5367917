import type http from 'node:http'
import { UPSTREAM_UNREACHABLE } from '../../shared/gateway-errors.ts'

/** An answer of the gateway's own. */
export interface Refusal {
  status: number
  code: string
  /** One sentence. */
  message: string
}

/** In the service's own error form, so that the container has one way to read errors. */
export function refuse(response: http.ServerResponse, refusal: Refusal): void {
  const { status, code, message } = refusal
  const error = { code, message }
  if (!response.headersSent) {
    // The connection stays: closed with a part of the request unread, it would take the answer along.
    response.writeHead(status, { 'content-type': 'application/json' })
    response.end(JSON.stringify({ error }))
  } else if (code === UPSTREAM_UNREACHABLE) {
    response.end(`${NO_EVENT}data: ${JSON.stringify({ type: 'error', error })}\n\n`)
  } else {
    response.destroy()
  }
}

/** Ends an event that the stream broke off inside of, so that it is none, even if only its end was missing. */
const NO_EVENT = '\ndata: broken off\n\n'
