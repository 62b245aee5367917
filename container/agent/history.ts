import type { Item } from '../../shared/items.ts'
import { REFUSED_IMAGE, withoutImages } from '../../shared/without-images.ts'

/** Characters of JSON that make a token, roughly; the service counts four bytes of output as one. */
const BYTES_PER_TOKEN = 4

/** The cost of an image of any file size: about two thousand tokens. */
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
  /** The last count of the service; `#bytesSince` came after it. */
  #counted = 0
  #bytesSince: number
  #droppedImages = 0

  /** `head` always stays in front: the instructions, and the tools where the model expects them there. */
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

  /** The service has counted the current history. Zero means no count. */
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

  /** Drops all reasoning, which is sealed and cannot be read here; returns the number of items. */
  dropReasoning(): number {
    const remaining = this.#entries.filter(({ type }) => type !== 'reasoning')
    const dropped = this.#entries.length - remaining.length
    this.#entries = remaining
    return dropped
  }

  /** Replaces each image by a note; returns the number of images. */
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

  /** The user's messages, the newest within `maxTokens`, oldest first. */
  userMessages(maxTokens: number): Item[] {
    const messages: Item[] = []
    let room = maxTokens * BYTES_PER_TOKEN
    for (const { type, role, encoded, size } of this.#entries.toReversed()) {
      if (type !== 'message' || role !== 'user') continue
      room -= size
      if (room < 0) break
      messages.unshift(JSON.parse(encoded))
    }
    return messages
  }

  /** Drops the older half, so that the rest can be summed up. Outputs go with their calls. */
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

  /** How many items have lost their images since the last call; for the user. */
  takeDroppedImages(): number {
    const dropped = this.#droppedImages
    this.#droppedImages = 0
    return dropped
  }

  /** The newest images stay, up to the limit. */
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
  /** In characters, with `IMAGE_BYTES` for each image. */
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
