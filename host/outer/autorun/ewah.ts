/** No index has more; a few bytes can encode any number of bits. */
const MAX_BITS = 4_000_000

/**
 * The set bits of git's compressed bitmap (EWAH), in order, and the offset of its end in `bytes`. Undefined when it is
 * invalid or exceeds the limit. Format: git's `gitformat-bitmap`, appendix A.
 */
export function bitsOfEwah(
  bytes: Buffer,
  start: number,
): { bits: number[]; end: number } | undefined {
  const size = bytes.readUInt32BE(start)
  const words = bytes.readUInt32BE(start + 4)
  const end = start + 8 + words * 8 + 4
  if (end > bytes.length || size > MAX_BITS) return undefined
  const bits: number[] = []
  let position = 0
  for (let word = 0; word < words; ) {
    const run = bytes.readBigUInt64BE(start + 8 + word++ * 8)
    const isSet = (run & 1n) === 1n
    const same = Number((run >> 1n) & 0xffffffffn) * 64
    const literals = Number(run >> 33n)
    if (position + same + literals * 64 > MAX_BITS + 64 || word + literals > words) return undefined
    if (isSet) for (let i = 0; i < same; i++) bits.push(position + i)
    position += same
    for (let i = 0; i < literals; i++, position += 64) {
      const from = start + 8 + word++ * 8
      pushBits(bits, bytes.readUInt32BE(from + 4), position)
      pushBits(bits, bytes.readUInt32BE(from), position + 32)
    }
  }
  return { bits, end }
}

function pushBits(bits: number[], word: number, position: number): void {
  for (let left = word, bit = 0; left !== 0; left >>>= 1, bit++) {
    if (left & 1) bits.push(position + bit)
  }
}
