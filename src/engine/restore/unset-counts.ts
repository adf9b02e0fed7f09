/** Metadata that workers could not set, as they tell it: bits per file. */

import { UNSET } from '../../pipeline/restore-job.ts'
import type { Reporter } from './report.ts'

export function countUnset(reporter: Reporter, bits: number): void {
  if (bits === 0) return
  if ((bits & UNSET.owner) !== 0) reporter.unset('owner')
  if ((bits & UNSET.mode) !== 0) reporter.unset('mode')
  if ((bits & UNSET.times) !== 0) reporter.unset('times')
}
