/** Samples in, a Markdown table and JSON out. */

import type { Measured } from './measure.ts'
import type { ToolName } from './tools.ts'

export const ROWS = {
  first: 'first backup',
  unchanged: 'second backup, nothing changed',
  changed: 'backup, 1 % of files changed',
  list: 'list snapshots',
  restore: 'restore',
  check: 'check, all data read',
} as const
export type RowName = keyof typeof ROWS
export const ROW_NAMES = Object.keys(ROWS) as RowName[]

/** One measured command, or why there is no figure. */
export type Sample = {
  readonly row: RowName
  readonly tool: ToolName
  readonly round: number
} & (
  | ({ readonly kind: 'measured'; readonly repositoryBytes: number | undefined } & Measured)
  | { readonly kind: 'failed'; readonly message: string }
)

export interface Summary {
  readonly median: number
  readonly min: number
  readonly max: number
}

/** Undefined if there is nothing to summarise. */
export function summarise(values: readonly (number | undefined)[]): Summary | undefined {
  const sorted = values.filter((value) => value !== undefined).toSorted((a, b) => a - b)
  const [min, max] = [sorted[0], sorted.at(-1)]
  const [low, high] = [
    sorted[Math.floor((sorted.length - 1) / 2)],
    sorted[Math.ceil((sorted.length - 1) / 2)],
  ]
  if (min === undefined || max === undefined || low === undefined || high === undefined) {
    return undefined
  }
  return { median: (low + high) / 2, min, max }
}

export interface RowSummary {
  readonly row: RowName
  readonly tool: ToolName
  readonly failure: string | undefined
  readonly wallSeconds: Summary | undefined
  readonly cpuSeconds: Summary | undefined
  readonly peakBytes: Summary | undefined
  readonly repositoryBytes: Summary | undefined
}

export function summariseRows(samples: readonly Sample[]): RowSummary[] {
  const summaries: RowSummary[] = []
  for (const row of ROW_NAMES) {
    const ofRow = samples.filter((sample) => sample.row === row)
    for (const tool of new Set(ofRow.map((sample) => sample.tool))) {
      const own = ofRow.filter((sample) => sample.tool === tool)
      const good = own.flatMap((sample) => (sample.kind === 'measured' ? [sample] : []))
      const failed = own.find((sample) => sample.kind === 'failed')
      summaries.push({
        row,
        tool,
        failure: failed?.message,
        wallSeconds: summarise(good.map(({ wallSeconds }) => wallSeconds)),
        cpuSeconds: summarise(good.map(({ cpuSeconds }) => cpuSeconds)),
        peakBytes: summarise(good.map(({ peakBytes }) => peakBytes)),
        repositoryBytes: summarise(good.map(({ repositoryBytes }) => repositoryBytes)),
      })
    }
  }
  return summaries
}

const digits = (value: number): string => value.toFixed(value < 10 ? 2 : 1)

function secondsCell({ wallSeconds, failure }: RowSummary): string {
  if (failure !== undefined) return `failed: ${failure.replaceAll('|', '\\|')}`
  if (wallSeconds === undefined) return '–'
  const { median, min, max } = wallSeconds
  return `${digits(median)} (${digits(min)}–${digits(max)})`
}

function scaled(summary: Summary | undefined, unit: number, places: number): string {
  return summary === undefined ? '' : (summary.median / unit).toFixed(places)
}

/** How much of the other tool's time, or other measure, cairn took. A failure is compared with nothing. */
function ratio(
  cairn: RowSummary | undefined,
  other: RowSummary,
  of: 'wallSeconds' | 'cpuSeconds',
): string {
  if (cairn === undefined || other.tool === 'cairn') return ''
  if (cairn.failure !== undefined || other.failure !== undefined) return ''
  const [own, others] = [cairn[of], other[of]]
  if (own === undefined || others === undefined || others.median === 0) return ''
  return (own.median / others.median).toFixed(2)
}

const HEAD = [
  '',
  'tool',
  'wall s, median (min–max)',
  'CPU s',
  'peak MiB',
  'repository MB',
  'cairn / this, wall',
  'cairn / this, CPU',
]

function line(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`
}

/** `facts` are the lines above the table. */
export function markdown(facts: readonly string[], samples: readonly Sample[]): string {
  const summaries = summariseRows(samples)
  const lines = [...facts, '', line(HEAD), line(HEAD.map((_, at) => (at < 2 ? '---' : '---:')))]
  let previous: RowName | undefined
  for (const summary of summaries) {
    const { row, tool } = summary
    const cairn = summaries.find((one) => one.row === row && one.tool === 'cairn')
    lines.push(
      line([
        row === previous ? '' : ROWS[row],
        tool,
        secondsCell(summary),
        scaled(summary.cpuSeconds, 1, 2),
        scaled(summary.peakBytes, 1 << 20, 0),
        scaled(summary.repositoryBytes, 1e6, 2),
        ratio(cairn, summary, 'wallSeconds'),
        ratio(cairn, summary, 'cpuSeconds'),
      ]),
    )
    previous = row
  }
  return `${lines.join('\n')}\n`
}
