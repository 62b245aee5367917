import { pipeline, Readable, type Transform } from 'node:stream'
import type zlib from 'node:zlib'
import { messageOf, systemCodeOf } from './errors.ts'
import { loadModule } from './load-module.ts'

/** The content coding of an answer cannot be decoded. */
export class CodingError extends Error {
  override readonly name = 'CodingError'
}

export interface EncodedAnswer {
  status: number
  headers: NodeJS.Dict<string | string[]>
  body: Readable
}

/**
 * The body of an answer without its content codings (RFC 9110, 8.4). Our requests ask for none, but a
 * proxy may apply one. A reader gets a CodingError where the bytes do not match the declared coding; a
 * body that breaks off does so for its reader as well.
 * @throws CodingError for an unknown coding
 */
export function decodeBody({ status, headers, body }: EncodedAnswer): Readable {
  const codings = String(headers['content-encoding'] ?? '')
    .toLowerCase()
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '' && name !== 'identity')
  // An answer without a body repeats the header of the full answer.
  if (codings.length === 0 || status === 304 || headers['content-length'] === '0') return body
  try {
    // The last coding was applied last. All decoders exist before any data is piped.
    const steps = codings.toReversed().map(decoderOf)
    const decoded = steps.reduce<Readable>((source, step) => pipeline(source, step, ignore), body)
    const named = Readable.from(withCodingErrors(decoded, body, codings), { objectMode: false })
    // The body may stay unread: the request is repeated.
    return named.on('error', ignore)
  } catch (error) {
    body.destroy()
    throw error
  }
}

/** An error passes from stream to stream; the reader of the last one gets it. */
const ignore = () => {}

async function* withCodingErrors(decoded: Readable, body: Readable, codings: readonly string[]) {
  try {
    yield* decoded
  } catch (error) {
    // Truncated data means that the body broke off.
    if (body.errored || systemCodeOf(error) === 'Z_BUF_ERROR') throw error
    throw new CodingError(
      `the answer is encoded as "${nameOf(codings.join(', '))}", but cannot be decoded: ${messageOf(error)}`,
    )
  }
}

const nameOf = (coding: string) => coding.replace(/[^\w., -]/g, '?').slice(0, 40)

function decoderOf(coding: string): Transform {
  const { createGunzip, createInflate, createBrotliDecompress, createZstdDecompress }: Zlib =
    loadModule('node:zlib')
  switch (coding) {
    case 'gzip':
    case 'x-gzip':
      return createGunzip()
    case 'deflate':
      return createInflate()
    case 'br':
      return createBrotliDecompress()
    case 'zstd':
      if (createZstdDecompress) return createZstdDecompress()
  }
  throw new CodingError(
    `the answer is encoded as "${nameOf(coding)}", which this version of Node cannot decode`,
  )
}

type Zlib = Pick<typeof zlib, 'createGunzip' | 'createInflate' | 'createBrotliDecompress'> & {
  /** Since Node 22.15. */
  createZstdDecompress?: () => Transform
}
