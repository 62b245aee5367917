import type { Writable } from 'node:stream'

/** The stream of an attached container breaks the format of the Docker API. */
export class StreamFormatError extends Error {
  override readonly name = 'StreamFormatError'
}

const HEADER_BYTES = 8

/**
 * Splits the stream of an attached container into its stdout and stderr. Each frame has a header of
 * 8 bytes: the stream, three zeros, the length in big endian (Docker Engine API, "Attach to a
 * container"). Payload is passed on as it arrives, independent of the length in the header, and no
 * faster than it is read, so memory stays bounded. A destroyed output is not awaited.
 * @throws StreamFormatError, and every error of `source`
 */
export async function demultiplex(
  source: AsyncIterable<Buffer>,
  outputs: { stdout: Writable; stderr: Writable },
): Promise<void> {
  const header = Buffer.alloc(HEADER_BYTES)
  let headerBytes = 0
  let payloadBytes = 0
  let output = outputs.stdout

  for await (const chunk of source) {
    let position = 0
    while (position < chunk.length) {
      if (payloadBytes === 0) {
        const taken = chunk.copy(header, headerBytes, position)
        headerBytes += taken
        position += taken
        if (headerBytes < HEADER_BYTES) break
        headerBytes = 0
        output = outputOf(header, outputs)
        payloadBytes = header.readUInt32BE(4)
        continue
      }
      const payload = chunk.subarray(position, position + payloadBytes)
      position += payload.length
      payloadBytes -= payload.length
      if (!output.write(payload) && !output.destroyed) await drained(output)
    }
  }
}

function drained(output: Writable): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      output.off('drain', done).off('close', done)
      resolve()
    }
    output.on('drain', done).on('close', done)
  })
}

function outputOf(header: Buffer, outputs: { stdout: Writable; stderr: Writable }): Writable {
  if (header[0] === 1) return outputs.stdout
  if (header[0] === 2) return outputs.stderr
  throw new StreamFormatError(`a frame for stream ${header[0]} in the output of the container`)
}
