export interface Mutant {
  readonly name: string
  readonly why: string
  /** Where the simulation has to find it; without these, `tests` have to. */
  readonly profiles?: readonly string[]
  readonly tests?: { readonly file: string; readonly name?: string }
  readonly edits: readonly {
    readonly file: string
    readonly find: string
    readonly replace: string
  }[]
}

export const MUTANTS: readonly Mutant[]
