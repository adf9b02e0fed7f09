/** Which paths of a snapshot are wanted. */

import type { ByteString } from '../../base/bytes.ts'
import type { RestoreOptions } from './restore-options.ts'

export class Selection {
  readonly #include: RestoreOptions['include']
  readonly #exclude: RestoreOptions['exclude']

  constructor({ include, exclude }: Pick<RestoreOptions, 'include' | 'exclude'>) {
    this.#include = include === undefined || include.length === 0 ? undefined : include
    this.#exclude = exclude === undefined || exclude.length === 0 ? undefined : exclude
  }

  get isEverything(): boolean {
    return this.#include === undefined && this.#exclude === undefined
  }

  /** `path` is below the restored root, without a leading slash. */
  selects(path: ByteString): boolean {
    if (this.isEverything) return true
    const absolute = `/${path}`
    if (this.#exclude?.some((matcher) => matcher.matches(absolute))) return false
    return this.#include?.some((matcher) => matcher.matches(absolute)) ?? true
  }

  /** Whether anything below a directory may be wanted. `isSelected` is what `selects` says of it. */
  maySelectBelow(path: ByteString, isSelected: boolean): boolean {
    if (isSelected) return true
    const absolute = `/${path}`
    // What is excluded is not looked into: a pattern that takes something back does not reach there.
    if (this.#exclude?.some((matcher) => matcher.matches(absolute))) return false
    return this.#include?.some((matcher) => matcher.mayMatchBelow(absolute)) ?? false
  }
}
