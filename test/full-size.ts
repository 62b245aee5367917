/** `CHAOS=full` runs everything at the size that is promised, which takes from minutes to an hour (`.ci/full`). */
export const isFull = process.env.CHAOS === 'full'
