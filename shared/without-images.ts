import type { Item } from './items.ts'

/** Replaces all images of a conversation that the service refuses because of one of them, which it does not name. */
export const REFUSED_IMAGE =
  '[an image, left out: the service refused the conversation because of an image]'

/** `item` with a note instead of each image, and the number of images. */
export function withoutImages(item: Item, note: string): { item: Item; images: number } {
  let images = 0
  const replaced = (value: unknown) =>
    Array.isArray(value)
      ? value.map((part) => {
          if (part?.type !== 'input_image') return part
          images++
          return { type: 'input_text', text: note }
        })
      : value
  const { content, output } = item
  return {
    item: {
      ...item,
      ...(content === undefined ? {} : { content: replaced(content) }),
      ...(output === undefined ? {} : { output: replaced(output) }),
    },
    images,
  }
}
