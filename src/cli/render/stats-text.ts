/** `stats`: its table and its document. */

import { fixedHalfEven, formatBytes } from '../../base/units.ts'
import { type JsonValue, omitEmpty } from './json-lines.ts'

/** The names are restic's. */
export interface Stats {
  readonly total_size: number
  readonly total_uncompressed_size?: number
  readonly compression_ratio?: number
  readonly compression_progress?: number
  readonly compression_space_saving?: number
  readonly total_file_count?: number
  readonly total_blob_count?: number
  readonly snapshots_count: number
}

export function statsJson(stats: Stats): JsonValue {
  const { total_size, snapshots_count, ...counts } = stats
  const optional = omitEmpty({ ...counts }) as Readonly<Record<string, JsonValue>>
  return { total_size, ...optional, snapshots_count }
}

const LABEL_WIDTH = 24

export function statsLines(mode: string, stats: Stats): string[] {
  const lines = [`Stats in ${mode} mode:`]
  const line = (label: string, value: number | undefined, show: (value: number) => string) => {
    if (value !== undefined && value > 0) {
      lines.push(`${label.padStart(LABEL_WIDTH)}:  ${show(value)}`)
    }
  }
  const percent = (value: number) => `${fixedHalfEven(value, 2)}%`
  lines.push(`${'Snapshots processed'.padStart(LABEL_WIDTH)}:  ${stats.snapshots_count}`)
  line('Total Blob Count', stats.total_blob_count, String)
  line('Total File Count', stats.total_file_count, String)
  line('Total Uncompressed Size', stats.total_uncompressed_size, formatBytes)
  lines.push(`${'Total Size'.padStart(LABEL_WIDTH)}:  ${formatBytes(stats.total_size)}`)
  line('Compression Progress', stats.compression_progress, percent)
  line('Compression Ratio', stats.compression_ratio, (value) => `${fixedHalfEven(value, 2)}x`)
  line('Compression Space Saving', stats.compression_space_saving, percent)
  return lines
}
