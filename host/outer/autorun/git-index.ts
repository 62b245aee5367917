import { bitsOfEwah } from './ewah.ts'

/** The entries of a git index that affect what git runs. Names are bytes, one character each (latin1). */
export interface GitIndex {
  /** Submodules: git runs a status in each, at any path, even an ignored one. */
  gitlinks: string[]
  /** Folders that stand for all their files (a sparse index). */
  folders: string[]
  /** `.gitattributes`, read from the index if the file is missing; with object id and merge stage. */
  attributes: [name: string, content: string][]
  /** Folders with tracked files that the caller's `wanted` selected. */
  wanted: string[]
  /** Why the list may be incomplete. */
  unread?: string
}

interface Options {
  /** Of an object id, by the format of the repository. Default: 20. */
  idBytes?: number
  /** Reads the shared index file of a split index. */
  shared?: (id: string) => Buffer | undefined
  /** Selects a folder, or a parent of it, to be listed in `GitIndex.wanted`. */
  wanted?: (folder: string) => string | undefined
}

/**
 * Reads an index of version 2, 3 or 4 as git does: gitformat-index(5). Takes linear time.
 */
export function readGitIndex(
  index: Buffer,
  { shared = () => undefined, wanted = () => undefined, idBytes = 20 }: Options = {},
): GitIndex {
  const reading = new Reading(index, idBytes, wanted)
  reading.readAll(shared)
  return reading.found
}

const HEADER_BYTES = 12
const STAT_BYTES = 40
const MODE_AT = 24
const GITLINK = 0o160000
const FOLDER = 0o040000
const TYPE_BITS = 0o170000
const NAME_BITS = 0xfff
const EXTENDED = 0x4000
const SIDE_BITS = 0x3000

/** No file system allows longer paths. Prefix compression could otherwise grow names without bound. */
const MAX_NAME_BYTES = 4096

/** More counts as an attack: prefix-compressed names can be many times as long as the index. */
const MAX_FOUND = 10_000

const MISFIT = 'its parts do not fit together'

class UnreadError extends Error {}

class Reading {
  readonly found: GitIndex = { gitlinks: [], folders: [], attributes: [], wanted: [] }
  readonly #index: Buffer
  readonly #idBytes: number
  readonly #wanted: (folder: string) => string | undefined
  /** The folder of the previous entry, with a trailing slash. */
  #folder = Buffer.alloc(0)
  readonly #name = Buffer.alloc(MAX_NAME_BYTES)
  #nameBytes = 0
  /** Bytes shared with the previous name. */
  #kept = 0
  #at = HEADER_BYTES
  /** Offsets of entries without a name: in a split index, they replace entries of the shared index. */
  readonly #nameless: number[] = []

  constructor(
    index: Buffer,
    idBytes: number,
    wanted: (folder: string) => string | undefined = () => undefined,
  ) {
    this.#index = index
    this.#idBytes = idBytes
    this.#wanted = wanted
  }

  readAll(shared: (id: string) => Buffer | undefined): void {
    try {
      this.#eachEntry((start) => {
        if (this.#nameBytes === 0) this.#nameless.push(start)
        else this.#meet(this.#index, start)
      })
      this.#readExtensions(shared)
    } catch (error) {
      // RangeError: Node's error for a read beyond the end.
      if (!(error instanceof UnreadError || error instanceof RangeError)) throw error
      this.found.unread = error instanceof UnreadError ? error.message : 'it ends too early'
    }
  }

  /** Calls `meet` with the offset and the number of each entry. */
  #eachEntry(meet: (start: number, number: number) => void): void {
    const index = this.#index
    if (index.length < HEADER_BYTES + this.#idBytes) throw new UnreadError('it is too short')
    if (index.toString('latin1', 0, 4) !== 'DIRC') throw new UnreadError('it is no index')
    const version = index.readUInt32BE(4)
    if (version < 2 || version > 4) throw new UnreadError(`it has the unknown version ${version}`)
    this.#at = HEADER_BYTES
    this.#nameBytes = 0
    const count = index.readUInt32BE(8)
    for (let number = 0; number < count; number++) {
      const start = this.#at
      this.#readEntry(version)
      meet(start, number)
    }
  }

  #readEntry(version: number): void {
    const index = this.#index
    const start = this.#at
    const flagsAt = start + STAT_BYTES + this.#idBytes
    const flags = index.readUInt16BE(flagsAt)
    if (flags & EXTENDED && version < 3) throw new UnreadError('it has flags of a later version')
    let at = flagsAt + (flags & EXTENDED ? 4 : 2)
    let kept = 0
    if (version === 4) [kept, at] = this.#prefix(at)
    // As in git: the flags hold the length of a name, and a longer name ends at the next zero.
    let length = (flags & NAME_BITS) - kept
    if ((flags & NAME_BITS) === NAME_BITS) length = index.indexOf(0, at) - at
    if (length < 0 || at + length >= index.length) throw new UnreadError('it ends too early')
    // Without a zero, git would read the following bytes as part of the name.
    if (index[at + length] !== 0) throw new UnreadError('it has a name that does not end')
    if (kept + length > MAX_NAME_BYTES) throw new UnreadError('it has a name that is too long')
    index.copy(this.#name, kept, at, at + length)
    this.#nameBytes = kept + length
    this.#kept = kept
    // Before version 4, entries are padded to a multiple of eight, with at least one zero.
    this.#at = version === 4 ? at + length + 1 : start + ((at - start + length + 8) & ~7)
  }

  /** Version 4: reads how many bytes of the previous name to drop. Returns the length kept and the suffix's offset. */
  #prefix(at: number): [kept: number, next: number] {
    let next = at
    let byte = this.#index.readUInt8(next++)
    let dropped = byte & 0x7f
    while (byte & 0x80) {
      byte = this.#index.readUInt8(next++)
      dropped = (dropped + 1) * 128 + (byte & 0x7f)
      if (dropped > MAX_NAME_BYTES) break
    }
    if (dropped > this.#nameBytes) throw new UnreadError('it has a name that cannot be')
    return [this.#nameBytes - dropped, next]
  }

  /** Records the last read name, with the entry at `start` in `index`. */
  #meet(index: Buffer, start: number): void {
    this.#meetFolder()
    const { gitlinks, folders, attributes } = this.found
    const type = index.readUInt32BE(start + MODE_AT) & TYPE_BITS
    const isAttributes = this.#endsWith(ATTRIBUTES)
    if (type !== GITLINK && type !== FOLDER && !isAttributes) return
    if (gitlinks.length + folders.length + attributes.length >= MAX_FOUND) {
      throw new UnreadError(`it names more than ${MAX_FOUND} repositories`)
    }
    // Git treats names as C strings.
    const [name = ''] = this.#name.toString('latin1', 0, this.#nameBytes).split('\0', 1)
    if (type === GITLINK) gitlinks.push(name)
    else if (type === FOLDER) folders.push(name.replace(/\/$/, ''))
    else {
      const idAt = start + STAT_BYTES
      const flagsAt = idAt + this.#idBytes
      const side = (index.readUInt16BE(flagsAt) & SIDE_BITS) >> 12
      attributes.push([name, `${index.toString('hex', idAt, flagsAt)} ${side}`])
    }
  }

  /** Entries are sorted by name, so most are in the folder of the previous one. */
  #meetFolder(): void {
    const length = this.#name.lastIndexOf('/', this.#nameBytes - this.#name.length - 1) + 1
    if (this.#folder.equals(this.#name.subarray(0, length))) return
    this.#folder = Buffer.from(this.#name.subarray(0, length))
    if (length === 0) return
    const wanted = this.#wanted(this.#folder.toString('latin1', 0, length - 1))
    if (wanted === undefined || this.found.wanted.at(-1) === wanted) return
    this.found.wanted.push(wanted)
    if (this.found.wanted.length > MAX_FOUND) {
      throw new UnreadError(`it has files in more than ${MAX_FOUND} folders of packages and builds`)
    }
  }

  #endsWith(end: Buffer): boolean {
    const start = this.#nameBytes - end.length
    return start >= 0 && end.compare(this.#name, start, this.#nameBytes) === 0
  }

  /**
   * Git's threads start to read entries at these offsets without the previous name. The result must equal a sequential
   * read.
   */
  #checkBlocks(table: Buffer): void {
    const blocks = new Map<number, number>()
    let entries = 0
    for (let at = 4; at + 8 <= table.length; at += 8) {
      blocks.set(entries, table.readUInt32BE(at))
      entries += table.readUInt32BE(at + 4)
    }
    this.#eachEntry((start, number) => {
      const place = blocks.get(number)
      if (place === undefined) return
      blocks.delete(number)
      if (place !== start || this.#kept !== 0) throw new UnreadError(MISFIT)
    })
    if (blocks.size > 0) throw new UnreadError(MISFIT)
  }

  /** Git takes the end of the entries from this extension, if it is at its fixed offset. */
  #checkEndOfEntries(end: number): void {
    const at = this.#index.length - this.#idBytes - (12 + this.#idBytes)
    if (at < HEADER_BYTES || this.#index.toString('latin1', at, at + 4) !== 'EOIE') return
    if (this.#index.readUInt32BE(at + 8) !== end) throw new UnreadError(MISFIT)
  }

  #readExtensions(shared: (id: string) => Buffer | undefined): void {
    let at = this.#at
    this.#checkEndOfEntries(at)
    const end = this.#index.length - this.#idBytes
    let isBased = false
    let hasTable = false
    while (at + 8 <= end) {
      const name = this.#index.toString('latin1', at, at + 4)
      const from = at + 8
      const bytes = this.#index.readUInt32BE(at + 4)
      if (from + bytes > end) throw new UnreadError('it ends too early')
      const data = this.#index.subarray(from, from + bytes)
      if (name === 'link') isBased = this.#readLink(data, shared)
      else if (name === 'IEOT') {
        // Git reads only one, and each check reads all entries again.
        if (hasTable) throw new UnreadError(MISFIT)
        hasTable = true
        this.#checkBlocks(data)
      } else if (name !== 'sdir' && !/^[A-Z]/.test(name)) {
        // Extensions with a capital first letter are optional: a reader may ignore them.
        throw new UnreadError(`it has the unknown part ${JSON.stringify(name)}`)
      }
      at = from + bytes
    }
    if (at !== end) throw new UnreadError('it does not end where it should')
    if (this.#nameless.length > 0 && !isBased)
      throw new UnreadError('it has an entry without a name')
  }

  /**
   * A split index: the shared index's id, and bitmaps of its deleted and replaced entries. Returns whether there is a
   * shared index.
   */
  #readLink(data: Buffer, shared: (id: string) => Buffer | undefined): boolean {
    const id = data.toString('hex', 0, this.#idBytes)
    if (/^0*$/.test(id)) return false
    const bytes = shared(id)
    if (!bytes) throw new UnreadError(`the sharedindex.${id} that it is based on cannot be read`)
    const base = new Reading(bytes, this.#idBytes, this.#wanted)
    // Git refuses a shared index that is itself split.
    base.readAll(() => undefined)
    const bitmaps = data.subarray(this.#idBytes)
    const { gitlinks, folders, attributes, wanted, unread } = base.found
    if (unread) throw new UnreadError(`of the sharedindex.${id} that it is based on, ${unread}`)
    if (bitmaps.length > 0 || this.#nameless.length > 0) base.#replace(bitmaps, this)
    // Deleted entries count as well: the list may only be too long.
    this.found.gitlinks.push(...gitlinks)
    this.found.folders.push(...folders)
    this.found.attributes.push(...attributes)
    this.found.wanted.push(...wanted)
    return true
  }

  /** Records the replaced entries again, with the contents of the nameless entries of `by`. */
  #replace(bitmaps: Buffer, by: Reading): void {
    const deleted = bitsOfEwah(bitmaps, 0)
    const replaced = deleted && bitsOfEwah(bitmaps, deleted.end)?.bits
    // Checked even when no such entry counts: with bad bitmaps git's entries differ from those read here.
    if (replaced?.length !== by.#nameless.length) throw new UnreadError(MISFIT)
    let nth = 0
    this.#eachEntry((_start, number) => {
      const start = by.#nameless[nth]
      if (start === undefined || number !== replaced[nth]) return
      nth++
      this.#meet(by.#index, start)
    })
    if (nth < replaced.length) throw new UnreadError(MISFIT)
  }
}

const ATTRIBUTES = Buffer.from('.gitattributes')
