/** Between the clock's nanoseconds and the times that are stored. */

import type { Time } from '../format/tree.ts'

const NS_PER_SECOND = 1_000_000_000n

export function timeOf(wallNs: bigint): Time {
  let seconds = wallNs / NS_PER_SECOND
  let rest = wallNs % NS_PER_SECOND
  if (rest < 0n) {
    seconds -= 1n
    rest += NS_PER_SECOND
  }
  return { seconds: Number(seconds), nanoseconds: Number(rest) }
}

export function nanosecondsOf(time: Time): bigint {
  return BigInt(time.seconds) * NS_PER_SECOND + BigInt(time.nanoseconds)
}

/** RFC 3339 in UTC with whole seconds. */
export function rfc3339Seconds(wallNs: bigint): string {
  return `${new Date(Number(wallNs / 1_000_000n)).toISOString().slice(0, 19)}Z`
}
