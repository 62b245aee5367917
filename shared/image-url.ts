/**
 * What an image begins with that is sent to a model: its bytes, in one of the forms that models take. No address,
 * which the service would fetch, and no drawing (SVG), which may name some.
 */
export const IMAGE_URL = /^data:image\/(png|jpeg|gif|webp);base64,/
