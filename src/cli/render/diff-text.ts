/** `diff`: its lines and the statistics at its end. */

import { type ByteString, textOf } from '../../base/bytes.ts'
import { formatBytes } from '../../base/units.ts'
import type { DiffReport } from '../../service/diff.ts'
import type { JsonValue } from './json-lines.ts'
import { printableName } from './printable.ts'

type DiffStatistics = Omit<DiffReport, 'damageCount'>
type SideCounts = DiffReport['added']

const MODIFIER_WIDTH = 5

export function changeLine(path: ByteString, modifier: string): string {
  return modifier.padEnd(MODIFIER_WIDTH) + printableName(path)
}

export function changeJson(path: ByteString, modifier: string): JsonValue {
  return { message_type: 'change', path: textOf(path), modifier }
}

/** An empty line comes first. */
export function statisticsLines({ changedFiles, added, removed }: DiffStatistics): string[] {
  const five = (count: number) => String(count).padStart(5)
  const both = (key: Exclude<keyof SideCounts, 'byteCount'>) =>
    `${five(added[key])} new, ${five(removed[key])} removed`
  return [
    '',
    `Files:       ${both('files')}, ${five(changedFiles)} changed`,
    `Dirs:        ${both('directories')}`,
    `Others:      ${both('others')}`,
    `Data Blobs:  ${both('dataBlobs')}`,
    `Tree Blobs:  ${both('treeBlobs')}`,
    `  Added:   ${formatBytes(added.byteCount)}`,
    `  Removed: ${formatBytes(removed.byteCount)}`,
  ]
}

function sideJson({ files, directories, others, ...blobs }: SideCounts): JsonValue {
  const { dataBlobs, treeBlobs, byteCount } = blobs
  return {
    files,
    dirs: directories,
    others,
    data_blobs: dataBlobs,
    tree_blobs: treeBlobs,
    bytes: byteCount,
  }
}

export function statisticsJson(
  references: readonly [source: string, target: string],
  { changedFiles, added, removed }: DiffStatistics,
): JsonValue {
  return {
    message_type: 'statistics',
    source_snapshot: references[0],
    target_snapshot: references[1],
    changed_files: changedFiles,
    added: sideJson(added),
    removed: sideJson(removed),
  }
}
