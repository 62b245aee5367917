/** Clients mostly wait; with more of them the processor would affect their timing. */
const CONCURRENCY = 4

/** Maps `all` with bounded concurrency; results are in the order of `all`. */
export async function inParallel<T, R>(
  all: readonly T[],
  work: (item: T) => Promise<R>,
): Promise<R[]> {
  const results: R[] = []
  let next = 0
  const worker = async () => {
    while (next < all.length) {
      const index = next++
      results[index] = await work(all[index] as T)
    }
  }
  await Promise.all(Array.from({ length: CONCURRENCY }, worker))
  return results
}
