export interface Fault {
  /** What goes wrong. */
  readonly fault: string
  /** `file: part of a title`, the file below `test/`: all of them exist. */
  readonly tests?: readonly string[]
  /** What of the fault the tests do not show. */
  readonly limits?: string
  /** Why there are no tests. */
  readonly notRun?: string
}

export interface Catalogue {
  /** Letter of a group: what it is about. */
  readonly groups: Readonly<Record<string, string>>
  readonly faults: Readonly<Record<string, Fault>>
}

export interface FileResult {
  readonly name: string
  readonly assertionResults: readonly { readonly fullName: string; readonly status: string }[]
}

export interface Verdict {
  readonly id: string
  readonly verdict: 'passed' | 'failed' | 'not run'
  readonly reason: string
}

export function readCatalogue(): Catalogue
export function parseEvidence(text: string): { readonly file: string; readonly title: string }
export function hasTitle(fullName: string, part: string): boolean
export function judge(catalogue: Catalogue, files: readonly FileResult[]): Verdict[]
export function catalogueReport(catalogue: Catalogue, verdicts: readonly Verdict[]): string[]
