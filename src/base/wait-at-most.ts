import type { Clock } from './seams.ts'

/** Resolves once `work` has settled, however, or after `limitMs`. */
export async function waitAtMost(
  limitMs: number,
  work: Promise<unknown>,
  clock: Clock,
): Promise<void> {
  const limit = new AbortController()
  const late = clock.sleep(limitMs, limit.signal)
  // One rejects when it is interrupted below, the other for whoever asked for the work.
  await Promise.race([work, late]).catch(() => {})
  limit.abort()
}
