import type { Item } from '../../shared/items.ts'

/**
 * The conversation as it is sent: it only ever grows, so the service can cache its prefix. Each item
 * is encoded once; turn 300 would otherwise encode a megabyte that it has encoded 299 times before.
 */
export class History {
  readonly #encoded: string[]

  constructor(items: readonly Item[]) {
    this.#encoded = items.map((item) => JSON.stringify(item))
  }

  push(item: Item): void {
    this.#encoded.push(JSON.stringify(item))
  }

  /** The body of a request: `head` with this history as its `input`. */
  requestBody(head: Record<string, unknown>): string {
    const start = JSON.stringify(head).slice(0, -1)
    return `${start},"input":[${this.#encoded.join(',')}]}`
  }
}
