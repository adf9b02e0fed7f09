/** Calls `action` for each item, at most `concurrencyMax` at a time. */

/**
 * After a failure nothing more is started, what runs may finish, and the first failure is thrown.
 */
export async function forEachBounded<T>(
  items: readonly T[],
  concurrencyMax: number,
  action: (item: T) => Promise<void>,
): Promise<void> {
  let next = 0
  let failures = 0
  let failure: unknown
  const run = async () => {
    while (next < items.length && failures === 0) {
      const item = items[next++] as T
      try {
        await action(item)
      } catch (error) {
        if (failures++ === 0) failure = error
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(concurrencyMax, items.length) }, run))
  if (failures > 0) throw failure
}
