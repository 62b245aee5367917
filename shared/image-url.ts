/**
 * The start of an image that is sent to a model: a data URL of a type that models take. No other URL, which the
 * service would fetch, and no SVG, which may refer to other URLs.
 */
export const IMAGE_URL = /^data:image\/(png|jpeg|gif|webp);base64,/
