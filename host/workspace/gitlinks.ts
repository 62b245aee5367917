/**
 * The folders that a git index names as repositories of their own (submodules). `git status` asks
 * each of them for its state, and so runs what its config says, wherever it lies and whether or not it
 * is ignored. Format: git's `index-format` documentation, versions 2 to 4.
 * An index that cannot be read names none: git does not read it either.
 */
export function gitlinks(index: Buffer, hashBytes: 20 | 32): string[] {
  const found: string[] = []
  const version = index.length >= HEADER_BYTES ? index.readUInt32BE(4) : 0
  if (index.toString('latin1', 0, 4) !== 'DIRC' || version < 2 || version > 4) return found
  let at = HEADER_BYTES
  let name: Buffer = Buffer.alloc(0)
  for (let left = index.readUInt32BE(8); left > 0; left--) {
    const flagsAt = at + STAT_BYTES + hashBytes
    if (flagsAt + 4 > index.length) break
    const isExtended = version > 2 && (index.readUInt16BE(flagsAt) & 0x4000) !== 0
    let nameAt = flagsAt + (isExtended ? 4 : 2)
    let kept = 0
    if (version === 4) [kept, nameAt] = keptBytes(index, nameAt, name.length)
    const end = index.indexOf(0, nameAt)
    // Longer ones no file system has; a name made of names before could grow without end.
    if (end < 0 || end - nameAt + kept > MAX_NAME_BYTES) break
    name =
      version === 4
        ? Buffer.concat([name.subarray(0, kept), index.subarray(nameAt, end)])
        : index.subarray(nameAt, end)
    if (index.readUInt32BE(at + MODE_AT) === GITLINK) found.push(name.toString('utf8'))
    // Before version 4, entries are filled up to a multiple of eight, with at least one zero.
    at = version === 4 ? end + 1 : at + Math.ceil((end - at + 1) / 8) * 8
  }
  return found
}

const HEADER_BYTES = 12
const STAT_BYTES = 40
const MODE_AT = 24
const GITLINK = 0o160000
const MAX_NAME_BYTES = 4096

/** Version 4 says how much of the name before is dropped. How much is kept, and where the rest begins. */
function keptBytes(index: Buffer, at: number, previous: number): [kept: number, nameAt: number] {
  let next = at
  let byte = index[next++] ?? 0
  let dropped = byte & 0x7f
  while (byte & 0x80) {
    byte = index[next++] ?? 0
    dropped = (dropped + 1) * 128 + (byte & 0x7f)
  }
  return [Math.max(0, previous - dropped), next]
}
