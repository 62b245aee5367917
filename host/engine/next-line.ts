import type { Readable } from 'node:stream'
import { EndedError } from './kernel-mounts.ts'

const NEWLINE = 0x0a

/**
 * Takes one line off a stream and leaves the rest to the next reader.
 * @throws EndedError when the stream ends or breaks first; Error when the line is longer than `maxBytes` or does not
 * arrive within `ms`
 */
export function nextLine(stream: Readable, maxBytes: number, ms: number): Promise<string> {
  const pieces: Buffer[] = []
  let bytes = 0
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => settle(() => reject(tooLate(ms))), ms)
    const settle = (end: () => void) => {
      clearTimeout(late)
      stream.off('readable', take).off('end', onEnd).off('close', onEnd).off('error', onEnd)
      end()
    }
    const onEnd = () => settle(() => reject(new EndedError('the output ended before a line did')))
    const take = () => {
      for (let piece = stream.read(); piece !== null; piece = stream.read()) {
        const end = piece.indexOf(NEWLINE)
        pieces.push(end < 0 ? piece : piece.subarray(0, end))
        bytes += piece.length
        if (end >= 0) {
          const rest = piece.subarray(end + 1)
          return settle(() => {
            if (rest.length > 0) stream.unshift(rest)
            resolve(Buffer.concat(pieces).toString('utf8'))
          })
        }
        if (bytes > maxBytes) {
          return settle(() => reject(new Error(`a line is longer than ${maxBytes} bytes`)))
        }
      }
    }
    stream.on('readable', take).on('end', onEnd).on('close', onEnd).on('error', onEnd)
    take()
  })
}

const tooLate = (ms: number) => new Error(`no line came within ${ms / 1000} s`)
