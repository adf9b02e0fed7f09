/** What `check` prints at its end. */

import type { JsonValue } from './json-lines.ts'
import { printable } from './printable.ts'

/** Names are restic's. */
export interface CheckSummary {
  readonly num_errors: number
  readonly broken_packs: readonly string[]
  readonly suggest_repair_index: boolean
  readonly suggest_prune: boolean
}

export function checkSummaryJson(summary: CheckSummary): JsonValue {
  return { message_type: 'summary', ...summary }
}

/** On stderr, for each finding, with --json. */
export function checkErrorJson(message: string): JsonValue {
  return { message_type: 'error', message }
}

/** For each finding. What is one of `lines` stays one, whatever a file is called. */
export function findingLine(severity: 'error' | 'note', lines: readonly string[]): string {
  return `${severity}: ${lines.map(printable).join('\n  ')}`
}

/** The verdict and the next step, for stdout. */
export function checkSummaryLines(summary: CheckSummary): string[] {
  const lines: string[] = []
  if (summary.broken_packs.length > 0) {
    lines.push('', 'damaged packs:', ...summary.broken_packs.map((pack) => `  ${printable(pack)}`))
    lines.push(
      "run 'cairn repair packs' to save what can be read of them; the next backup stores again",
      'whatever of the rest can still be read from its sources',
    )
  }
  if (summary.suggest_repair_index) {
    lines.push('', "the index is damaged or incomplete; run 'cairn repair index'")
  }
  if (summary.suggest_prune)
    lines.push(
      '',
      "there are packs that no index file names; 'cairn prune' removes what nothing needs",
    )
  const verdict =
    summary.num_errors === 0
      ? 'no errors were found'
      : `${summary.num_errors} ${summary.num_errors === 1 ? 'error was' : 'errors were'} found`
  return [...lines, verdict]
}
