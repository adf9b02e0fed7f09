/** What a check finds, and the list it is kept in. */

import type { FileName } from '../../base/ids.ts'
import type { FileKind } from './check-options.ts'

/** An error is something that is not as it was written; a note is worth knowing and harmless. */
export interface Finding {
  readonly severity: 'error' | 'note'
  readonly object: FoundObject
  readonly message: string
  /** What to do about it. */
  readonly nextStep: string
  /** For a snapshot: what of it is affected, `/` first, as text. Bounded; `morePathCount` follow. */
  readonly paths?: readonly string[]
  readonly morePathCount?: number
}

export interface FoundObject {
  /** The folder that it is in. */
  readonly kind: FileKind
  /** A file's name, a snapshot's id, or the path of a file that is not cairn's. */
  readonly name: string
}

/** A finding for people: message and next step, then the paths, which may hold line ends. */
export function findingLines(finding: Finding): string[] {
  const { message, nextStep, paths = [], morePathCount = 0 } = finding
  const lines = [`${message}; ${nextStep}`, ...paths]
  if (morePathCount > 0) lines.push(`and ${morePathCount} more`)
  return lines
}

/** The same as one text, a line each. */
export function findingText(finding: Finding): string {
  return findingLines(finding).join('\n')
}

export class FindingList {
  readonly all: Finding[] = []
  readonly brokenPacks = new Set<FileName>()
  suggestRepairIndex = false
  suggestPrune = false
  errorCount = 0
  readonly #onFinding: ((finding: Finding) => void) | undefined

  constructor(onFinding: ((finding: Finding) => void) | undefined) {
    this.#onFinding = onFinding
  }

  error(object: FoundObject, message: string, nextStep: string, paths: AffectedList = {}): void {
    this.#add({ severity: 'error', object, message, nextStep, ...paths })
  }

  note(object: FoundObject, message: string, nextStep: string): void {
    this.#add({ severity: 'note', object, message, nextStep })
  }

  #add(finding: Finding): void {
    if (finding.severity === 'error') this.errorCount++
    this.all.push(finding)
    this.#onFinding?.(finding)
  }
}

export type AffectedList = Pick<Finding, 'paths' | 'morePathCount'>
