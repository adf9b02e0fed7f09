/** Which parts of a file are read, and which are holes. */

import type { DataRun } from '../source/source-files.ts'

/**
 * Shorter holes are read as the zeros that they are: each hole ends a stream of chunks, and zeros
 * cost next to nothing.
 */
export const HOLE_BYTES_MIN = 1 << 20

/** The part of a file that can say where its data is. */
export interface Extents {
  readonly mayHaveHoles: boolean
  nextData(position: number): DataRun | undefined
}

/**
 * The runs of data of a file from `start` up to `end`, in order. What lies between them, before the
 * first and behind the last are holes of at least `HOLE_BYTES_MIN`.
 */
export function* dataRuns(file: Extents, start: number, end: number): Generator<DataRun> {
  if (!file.mayHaveHoles) {
    if (start < end) yield { start, end }
    return
  }
  let open = nextRun(file, start, end)
  if (open !== undefined && open.start - start < HOLE_BYTES_MIN) open = { start, end: open.end }
  while (open !== undefined) {
    const next = nextRun(file, open.end, end)
    const gap: number = (next?.start ?? end) - open.end
    if (gap >= HOLE_BYTES_MIN) {
      yield open
      open = next
    } else if (next === undefined) {
      yield { start: open.start, end }
      return
    } else open = { start: open.start, end: next.end }
  }
}

function nextRun(file: Extents, position: number, end: number): DataRun | undefined {
  const run = position < end ? file.nextData(position) : undefined
  if (run === undefined || run.start >= end) return undefined
  return { start: run.start, end: Math.min(run.end, end) }
}
