/** `stats`: its table and its document. */

import { fixedHalfEven, formatBytes } from '../../base/units.ts'
import type { StatsReport } from '../../service/stats.ts'
import { type JsonValue, omitEmpty } from './json-lines.ts'

export function statsJson(stats: StatsReport): JsonValue {
  const { total_size, snapshots_count, ...counts } = stats
  const optional = omitEmpty({ ...counts }) as Readonly<Record<string, JsonValue>>
  return { total_size, ...optional, snapshots_count }
}

const LABEL_WIDTH = 24

export function statsLines(mode: string, stats: StatsReport): string[] {
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
