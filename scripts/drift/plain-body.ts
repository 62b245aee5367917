import { spawnSync } from 'node:child_process'
import zlib from 'node:zlib'

/** The text of a body, without its coding. @throws Error for one that cannot be read here */
export function plainBody(body: Buffer, coding: string | undefined): string {
  if (!coding) return body.toString()
  if (coding === 'gzip') return zlib.gunzipSync(body).toString()
  if (coding === 'zstd') return unzstd(body).toString()
  throw new Error(`a body is encoded as ${coding}`)
}

/** Since Node 22.15; before, the program of that name does it. */
const { zstdDecompressSync } = zlib as { zstdDecompressSync?: (body: Buffer) => Buffer }

function unzstd(body: Buffer): Buffer {
  if (zstdDecompressSync) return zstdDecompressSync(body)
  const { status, stdout } = spawnSync('zstd', ['-dc'], { input: body, maxBuffer: 2 ** 28 })
  if (status !== 0) throw new Error('reading the body takes Node 22.15 or the program zstd')
  return stdout
}
