/** Chunks as a stream gives them; `pulled` counts what the reader has taken. */
export function streamOf(chunks: Iterable<Uint8Array>) {
  const stream = {
    pulled: 0,
    async *[Symbol.asyncIterator]() {
      for (const chunk of chunks) {
        stream.pulled++
        yield Buffer.from(chunk)
      }
    },
  }
  return stream
}
