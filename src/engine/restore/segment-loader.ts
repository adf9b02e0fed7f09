/** Gets the segments of a job out of storage that workers cannot read themselves. */

import { isCairnError, isUnreadable } from '../../base/errors.ts'
import { type WriteJob, SEGMENT_COLUMNS } from '../../pipeline/restore-job.ts'
import type { RestoreOptions } from './restore-options.ts'
import { type PlannedJob, segmentRange } from './write-jobs.ts'

/** Reading this much for nothing costs less than another request. */
const GAP_BYTES_MAX = 256 << 10
const RANGE_BYTES_MAX = 16 << 20

/** Neighbouring segments of one pack that are read at once. */
interface Range {
  readonly pack: number
  readonly offset: number
  end: number
  readonly segments: number[]
}

/** Where workers can read the pack, or undefined. */
export function localPath(options: RestoreOptions, packNumber: number): string | undefined {
  const { backend } = options.repository
  const { name } = options.index.pack(packNumber)
  return backend.localPath?.({ kind: 'packs', name })
}

/** Fills in the columns of `segments` that say which of the returned buffers holds what. */
export async function loadSegments(
  options: RestoreOptions,
  job: PlannedJob,
): Promise<WriteJob['sealed']> {
  const sealed: Uint8Array[] = []
  const { segments } = job.message
  await Promise.all(
    rangesOf(segments).map(async (range) => {
      for (const loaded of await loadRange(options, job, range)) {
        const buffer = sealed.push(loaded.bytes) - 1
        for (const segment of loaded.range.segments) {
          const start = segmentRange(segments, segment).offset - loaded.range.offset
          segments.set([buffer, start], segment * SEGMENT_COLUMNS + 4)
        }
      }
    }),
  )
  return sealed
}

function rangesOf(segments: Uint32Array): Range[] {
  const order = Array.from({ length: segments.length / SEGMENT_COLUMNS }, (_, i) => i)
  const packOf = (i: number) => segments[i * SEGMENT_COLUMNS] ?? 0
  const offsetOf = (i: number) => segments[i * SEGMENT_COLUMNS + 1] ?? 0
  order.sort((a, b) => packOf(a) - packOf(b) || offsetOf(a) - offsetOf(b))
  const ranges: Range[] = []
  for (const i of order) {
    const pack = packOf(i)
    const { offset, byteCount } = segmentRange(segments, i)
    const end = offset + byteCount
    const last = ranges.at(-1)
    const joins =
      last?.pack === pack &&
      offset - last.end <= GAP_BYTES_MAX &&
      end - last.offset <= RANGE_BYTES_MAX
    if (last !== undefined && joins) {
      last.end = end
      last.segments.push(i)
    } else ranges.push({ pack, offset, end, segments: [i] })
  }
  return ranges
}

interface LoadedRange {
  readonly range: Range
  readonly bytes: Uint8Array
}

/** What could be read of a range: of one that is cut off or has bad sectors, the other segments. */
async function loadRange(
  options: RestoreOptions,
  job: PlannedJob,
  range: Range,
): Promise<LoadedRange[]> {
  const { repository, index, signal } = options
  const packNumber = job.batch.packs[job.packs[range.pack] ?? 0]?.packNumber ?? -1
  const { name } = index.pack(packNumber)
  const byteCount = range.end - range.offset
  try {
    const bytes = await repository.backend.load(
      { kind: 'packs', name },
      { offset: range.offset, byteCount },
      { signal },
    )
    // A view of a larger buffer would take all of it along to the worker.
    const isWhole = bytes?.byteLength === bytes?.buffer.byteLength
    return bytes === undefined ? [] : [{ range, bytes: isWhole ? bytes : bytes.slice() }]
  } catch (error) {
    if (!isCairnError(error, 'CAIRN_CORRUPT') && !isUnreadable(error)) throw error
    if (range.segments.length === 1) return []
    const parts = range.segments.map((segment) => {
      const { offset, byteCount } = segmentRange(job.message.segments, segment)
      return { pack: range.pack, offset, end: offset + byteCount, segments: [segment] }
    })
    const loaded = await Promise.all(parts.map((part) => loadRange(options, job, part)))
    return loaded.flat()
  }
}
