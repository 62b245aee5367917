import { pipeline, type Readable, type Transform } from 'node:stream'
import zlib from 'node:zlib'

/** An answer is in a coding that this Node cannot undo. */
export class UnknownCodingError extends Error {
  override readonly name = 'UnknownCodingError'

  constructor(coding: string) {
    super(`the answer is encoded as "${coding}", which this version of Node cannot read`)
  }
}

export interface EncodedAnswer {
  status: number
  headers: NodeJS.Dict<string | string[]>
  body: Readable
}

/**
 * The body of an answer without its content codings (RFC 9110, 8.4). None is asked for; something on
 * the way may apply one all the same.
 * @throws UnknownCodingError
 */
export function decodeBody({ status, headers, body }: EncodedAnswer): Readable {
  const codings = String(headers['content-encoding'] ?? '')
    .toLowerCase()
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '' && name !== 'identity')
  // An answer without a body has the header of the one that it stands for.
  if (codings.length === 0 || status === 304 || headers['content-length'] === '0') return body
  try {
    // The last one was applied last. All are known before anything is piped.
    const steps = codings.toReversed().map(decoderOf)
    return steps.reduce<Readable>((source, step) => pipeline(source, step, ignore), body)
  } catch (error) {
    body.destroy()
    throw error
  }
}

/** Each side sees the error of the other; whoever reads the last one has it from there. */
const ignore = () => {}

function decoderOf(coding: string): Transform {
  switch (coding) {
    case 'gzip':
    case 'x-gzip':
      return zlib.createGunzip()
    case 'deflate':
      return zlib.createInflate()
    case 'br':
      return zlib.createBrotliDecompress()
    case 'zstd':
      if (createZstdDecompress) return createZstdDecompress()
  }
  throw new UnknownCodingError(coding.replace(/[^\w.-]/g, '?').slice(0, 40))
}

/** Since Node 22.15. */
const { createZstdDecompress } = zlib as { createZstdDecompress?: () => Transform }
