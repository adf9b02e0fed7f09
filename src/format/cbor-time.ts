/** Times as snapshots, sessions, marks and tombstones store them (FORMAT.md 2). */

import type { CborReader, CborWriter } from './cbor.ts'
import type { Time } from './tree.ts'

export function writeTime(out: CborWriter, time: Time): void {
  out.array(2)
  out.integer(time.seconds)
  out.integer(time.nanoseconds)
}

export function readTime(reader: CborReader): Time {
  reader.array(2)
  return { seconds: reader.integer(), nanoseconds: reader.unsigned(999_999_999) }
}
