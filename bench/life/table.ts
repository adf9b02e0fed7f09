/** Samples of a repository's later life in, a Markdown table out. */

import type { Measured } from '../compare/measure.ts'
import { summarise } from '../compare/report.ts'
import type { ToolName } from '../compare/tools.ts'

export const ROW_TITLES = {
  find: 'find a name in all snapshots',
  diff: 'compare the two newest',
  open: 'list snapshots',
  prune: 'forget half of them, and prune',
  before: 'list snapshots, after that',
  after: 'list snapshots, with all those forgotten as well',
} as const
export type LifeRow = keyof typeof ROW_TITLES

export interface LifeSample extends Measured {
  readonly row: LifeRow
  readonly tool: ToolName
  /** Once the command had ended. */
  readonly repositoryBytes: number
}

function cells(row: LifeRow, tool: ToolName, samples: readonly LifeSample[]): string {
  const median = (of: 'wallSeconds' | 'cpuSeconds', name: ToolName) =>
    summarise(samples.filter((one) => one.row === row && one.tool === name).map((one) => one[of]))
      ?.median
  const own = samples.filter((one) => one.row === row && one.tool === tool)
  const ratio = (of: 'wallSeconds' | 'cpuSeconds') => {
    const [ours, theirs] = [median(of, 'cairn'), median(of, tool)]
    if (tool === 'cairn' || ours === undefined || theirs === undefined || theirs === 0) return ''
    return (ours / theirs).toFixed(2)
  }
  const peak = summarise(own.map(({ peakBytes }) => peakBytes))?.median
  return [
    ROW_TITLES[row],
    tool,
    median('wallSeconds', tool)?.toFixed(2) ?? '',
    median('cpuSeconds', tool)?.toFixed(2) ?? '',
    peak === undefined ? '' : (peak / 2 ** 20).toFixed(0),
    ((own.at(-1)?.repositoryBytes ?? 0) / 1e6).toFixed(3),
    ratio('wallSeconds'),
    ratio('cpuSeconds'),
  ].join(' | ')
}

/** A line for each row and tool of which there are samples; medians. */
export function lifeTable(samples: readonly LifeSample[]): string {
  const head =
    '|  | tool | wall s | CPU s | peak MiB | repository MB | cairn / this, wall | cairn / this, CPU |'
  const lines = (Object.keys(ROW_TITLES) as LifeRow[]).flatMap((row) =>
    [...new Set(samples.filter((one) => one.row === row).map(({ tool }) => tool))].map(
      (tool) => `| ${cells(row, tool, samples)} |`,
    ),
  )
  return [head, '|---|---|---:|---:|---:|---:|---:|---:|', ...lines, ''].join('\n')
}
