/** Tables as restic prints them: two spaces between columns, a rule above and below the rows. */

import { displayWidth, padToWidth } from './width.ts'

export interface TableColumn {
  readonly title: string
  /** In cells of the terminal. */
  readonly widthMin?: number
}

export interface Table {
  readonly columns: readonly TableColumn[]
  /** One list of lines for each cell; the lines must be printable (`printable`). */
  readonly rows: readonly (readonly (readonly string[])[])[]
  /** An empty line between rows. */
  readonly isSpaced?: boolean
  readonly footer?: readonly string[]
}

const GAP = '  '

function joinCells(cells: readonly string[], widths: readonly number[]): string {
  return cells
    .map((cell, at) => padToWidth(cell, widths[at] ?? 0))
    .join(GAP)
    .trimEnd()
}

export function tableLines({ columns, rows, isSpaced = false, footer = [] }: Table): string[] {
  const widths = columns.map((column) => Math.max(column.widthMin ?? 0, displayWidth(column.title)))
  for (const row of rows) {
    for (const [at, cell] of row.entries()) {
      for (const line of cell) widths[at] = Math.max(widths[at] ?? 0, displayWidth(line))
    }
  }
  const gaps = GAP.length * (columns.length - 1)
  const rule = '-'.repeat(widths.reduce((sum, width) => sum + width, gaps))
  const titles = columns.map((column) => column.title)
  const lines = [joinCells(titles, widths), rule]
  for (const [at, row] of rows.entries()) {
    if (isSpaced && at > 0) lines.push('')
    const height = Math.max(1, ...row.map((cell) => cell.length))
    for (let line = 0; line < height; line++) {
      lines.push(
        joinCells(
          row.map((cell) => cell[line] ?? ''),
          widths,
        ),
      )
    }
  }
  return [...lines, rule, ...footer]
}
