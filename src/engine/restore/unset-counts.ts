/** Metadata that workers could not set, as they tell it: bits per file. */

import { REFUSED_SHIFT, UNSET } from '../../pipeline/restore-job.ts'
import type { Reporter } from './report.ts'
import type { MetadataKind } from './restore-options.ts'

const KINDS = Object.keys(UNSET) as MetadataKind[]

export function countUnset(reporter: Reporter, bits: number): void {
  if (bits === 0) return
  for (const kind of KINDS) {
    // Of a kind that failed in both ways, the failure counts.
    if ((bits & UNSET[kind]) !== 0) reporter.unset(kind)
    else if ((bits & (UNSET[kind] << REFUSED_SHIFT)) !== 0) reporter.unset(kind, true)
  }
}
