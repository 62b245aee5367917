import { spawnSync } from 'node:child_process'
import zlib from 'node:zlib'

/** Decodes the content encoding of a body. @throws Error when this machine cannot decode it */
export function plainBody(body: Buffer, coding: string | undefined): string {
  if (!coding) return body.toString()
  if (coding === 'gzip') return zlib.gunzipSync(body).toString()
  if (coding === 'zstd') return unzstd(body).toString()
  throw new Error(`a body is encoded as ${coding}`)
}

/** Built in since Node 22.15; the fallback is the program `zstd`. */
const { zstdDecompressSync } = zlib as { zstdDecompressSync?: (body: Buffer) => Buffer }

function unzstd(body: Buffer): Buffer {
  if (zstdDecompressSync) return zstdDecompressSync(body)
  const { status, stdout } = spawnSync('zstd', ['-dc'], { input: body, maxBuffer: 2 ** 28 })
  if (status !== 0) throw new Error('reading the body takes Node 22.15 or the program zstd')
  return stdout
}
