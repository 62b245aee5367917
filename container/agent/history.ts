import type { Item } from '../../shared/items.ts'
import { REFUSED_IMAGE, withoutImages } from '../../shared/without-images.ts'

/** Characters of JSON that make a token, roughly; the service counts four bytes of output as one. */
const BYTES_PER_TOKEN = 4

/** What an image costs, whatever the size of its file: about two thousand tokens. */
const IMAGE_BYTES = 8000
/** Of all images together; one request is bounded, and a conversation must not grow past that. */
const MAX_IMAGES_BYTES = 24 * 1024 * 1024
const TOO_LARGE = '[an earlier image, left out for its size]'
const DATA_URL = /data:image\/[^"]+/g

/**
 * The conversation as it is sent: it only ever grows, so the service can cache its prefix, until it is
 * compacted. Each item is encoded once; turn 300 would otherwise encode a megabyte that it has encoded
 * 299 times before.
 */
export class History {
  readonly #head: readonly string[]
  #entries: Entry[]
  /** What the service counted last, and what has come since. */
  #counted = 0
  #bytesSince: number
  #droppedImages = 0

  /** `head` stays in front whatever happens: instructions, and what a model wants to have there. */
  constructor(head: readonly Item[], items: readonly Item[]) {
    this.#head = head.map((item) => JSON.stringify(item))
    this.#entries = items.map(entryOf)
    this.#bytesSince = bytesOf(this.#head) + sizeOf(this.#entries)
    this.#dropOldImages()
  }

  /** An estimate between two answers of the service. */
  get tokens(): number {
    return this.#counted + Math.ceil(this.#bytesSince / BYTES_PER_TOKEN)
  }

  /** Everything but the head. */
  get items(): Item[] {
    return this.#entries.map(({ encoded }) => JSON.parse(encoded))
  }

  get ids(): string[] {
    return this.#entries.flatMap(({ id }) => id ?? [])
  }

  get callIds(): string[] {
    return this.#entries.flatMap(({ callId }) => callId ?? [])
  }

  push(item: Item): void {
    const entry = entryOf(item)
    this.#entries.push(entry)
    this.#bytesSince += entry.size
    if (entry.imageBytes > 0) this.#dropOldImages()
  }

  /** The service has counted everything that is here now. Nothing is no count. */
  counted(tokens = 0): void {
    if (tokens === 0) return
    this.#counted = tokens
    this.#bytesSince = 0
  }

  /** The body of a request: `head` with this history, and `more` behind it, as its `input`. */
  requestBody(head: Record<string, unknown>, more: readonly Item[] = []): string {
    const start = JSON.stringify(head).slice(0, -1)
    const input = [
      ...this.#head,
      ...this.#entries.map(({ encoded }) => encoded),
      ...more.map((item) => JSON.stringify(item)),
    ]
    return `${start},"input":[${input.join(',')}]}`
  }

  /** Gives up all reasoning, which is sealed and cannot be read here; says how much it was. */
  dropReasoning(): number {
    const kept = this.#entries.filter(({ type }) => type !== 'reasoning')
    const dropped = this.#entries.length - kept.length
    this.#entries = kept
    return dropped
  }

  /** Puts a note in the place of each image; says how many there were. */
  dropImages(): number {
    let dropped = 0
    for (const [index, { encoded, imageBytes }] of this.#entries.entries()) {
      if (imageBytes === 0) continue
      const { item, images } = withoutImages(JSON.parse(encoded), REFUSED_IMAGE)
      if (images > 0) this.#entries[index] = entryOf(item)
      dropped += images
    }
    return dropped
  }

  /** What the user said, the newest within `maxTokens`, oldest first. */
  userMessages(maxTokens: number): Item[] {
    const kept: Item[] = []
    let room = maxTokens * BYTES_PER_TOKEN
    for (const { type, role, encoded, size } of this.#entries.toReversed()) {
      if (type !== 'message' || role !== 'user') continue
      room -= size
      if (room < 0) break
      kept.unshift(JSON.parse(encoded))
    }
    return kept
  }

  /** Forgets the older half, so that the rest can be asked about. Calls go with their outputs. */
  dropOlderHalf(): void {
    const { length } = this.#entries
    const late = this.#entries.slice(Math.ceil(length / 2))
    const calls = new Set(late.filter(isCall).map(({ callId }) => callId))
    this.replace(
      late
        .filter((entry) => !entry.callId || isCall(entry) || calls.has(entry.callId))
        .map(({ encoded }) => JSON.parse(encoded)),
    )
  }

  /** How many items have lost their images since this was last asked; for the user. */
  takeDroppedImages(): number {
    const dropped = this.#droppedImages
    this.#droppedImages = 0
    return dropped
  }

  /** The newest images stay, as far as there is room. */
  #dropOldImages(): void {
    let room = MAX_IMAGES_BYTES
    for (const [index, entry] of [...this.#entries.entries()].toReversed()) {
      room -= entry.imageBytes
      if (entry.imageBytes > 0 && room < 0) {
        this.#entries[index] = entryOf(withoutImages(JSON.parse(entry.encoded), TOO_LARGE).item)
        this.#droppedImages++
      }
    }
  }

  /** Puts `items` in the place of everything but the head. */
  replace(items: readonly Item[]): void {
    this.#entries = items.map(entryOf)
    this.#counted = 0
    this.#bytesSince = bytesOf(this.#head) + sizeOf(this.#entries)
  }
}

interface Entry {
  type: string
  role: unknown
  id: string | undefined
  callId: string | undefined
  encoded: string
  /** Characters, those of images not counted as such. */
  size: number
  imageBytes: number
}

function entryOf(item: Item): Entry {
  const { type, role, id, call_id: callId } = item
  const encoded = JSON.stringify(item)
  const images = encoded.match(DATA_URL) ?? []
  const imageBytes = bytesOf(images)
  return {
    type,
    role,
    id: typeof id === 'string' ? id : undefined,
    callId: typeof callId === 'string' ? callId : undefined,
    encoded,
    size: encoded.length - imageBytes + images.length * IMAGE_BYTES,
    imageBytes,
  }
}

const isCall = ({ type }: Entry) => type.endsWith('_call')
const sizeOf = (entries: readonly Entry[]) => entries.reduce((sum, { size }) => sum + size, 0)
const bytesOf = (texts: readonly string[]) => texts.reduce((sum, { length }) => sum + length, 0)
