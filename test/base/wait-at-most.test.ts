import { expect, test } from 'vitest'
import { nodeClock } from '../../src/base/node-seams.ts'
import { waitAtMost } from '../../src/base/wait-at-most.ts'

const NEVER = new Promise<never>(() => {})

/** Sleeps last until they are interrupted, or until a test ends them. */
function clockByHand() {
  const sleeping: { readonly delayMs: number; wake(): void }[] = []
  let interrupted = 0
  const sleep = (delayMs: number, signal?: AbortSignal) =>
    new Promise<void>((resolve, reject) => {
      sleeping.push({ delayMs, wake: resolve })
      signal?.addEventListener('abort', () => {
        interrupted++
        reject(new Error('interrupted'))
      })
    })
  return { clock: { ...nodeClock(), sleep }, sleeping, interrupted: () => interrupted }
}

test('waits no longer than the work, whether it is done or fails, and leaves no timer behind', async () => {
  for (const work of [Promise.resolve(1), Promise.reject(new Error('fails'))]) {
    const { clock, interrupted } = clockByHand()
    await waitAtMost(10, work, clock)
    expect(interrupted()).toBe(1)
  }
})

test('does not wait for the work beyond the limit', async () => {
  const { clock, sleeping } = clockByHand()
  const waiting = waitAtMost(10, NEVER, clock)
  expect(sleeping.map(({ delayMs }) => delayMs)).toEqual([10])
  sleeping[0]?.wake()
  await waiting
})
