/** What a backup leaves out, as one question per entry. */

import type { ByteString } from '../../base/bytes.ts'
import { applyDirectoryTags, type DirectoryTag, isLargerThan } from '../../source/exclude-rules.ts'
import type { PatternMatcher } from '../../source/patterns.ts'
import type { SourceFiles, SourceStat } from '../../source/source-files.ts'

export interface ExclusionRules {
  readonly patterns: readonly PatternMatcher[]
  readonly tags: readonly DirectoryTag[]
  readonly largerThan: number | undefined
  readonly oneFileSystem: boolean
  /**
   * Directories that are never entered, by device and inode: the repository, the cache. Without an
   * inode a whole file system: a mounted repository.
   */
  readonly forbidden: readonly {
    readonly dev: bigint
    readonly ino?: bigint
    readonly what: string
  }[]
}

export class Exclusions {
  readonly #rules: ExclusionRules
  readonly #onForbidden: (path: ByteString, what: string) => void

  constructor(rules: ExclusionRules, onForbidden: (path: ByteString, what: string) => void) {
    this.#rules = rules
    this.#onForbidden = onForbidden
  }

  /** The names of a directory that are not left out by a tag in it. */
  taggedNames(
    path: ByteString,
    names: readonly ByteString[],
    files: SourceFiles,
  ): readonly ByteString[] {
    const { tags } = this.#rules
    if (tags.length === 0) return names
    return applyDirectoryTags({ tags, path, names, files }).names
  }

  excludesPath(path: ByteString): boolean {
    return this.#rules.patterns.some((matcher) => matcher.matches(path))
  }

  /** After the look at the entry itself; `isSource` for what the user named, which always counts. */
  excludesEntry(path: ByteString, stat: SourceStat): boolean {
    const { largerThan, forbidden } = this.#rules
    if (largerThan !== undefined && isLargerThan(stat, largerThan)) return true
    if (stat.type !== 'directory') return false
    const found = forbidden.find(
      ({ dev, ino }) => dev === stat.dev && (ino === undefined || ino === stat.ino),
    )
    if (found !== undefined) this.#onForbidden(path, found.what)
    return found !== undefined
  }

  /** Whether a directory's contents are left out because another file system is mounted there. */
  isOtherFileSystem(stat: SourceStat, device: bigint | undefined): boolean {
    return this.#rules.oneFileSystem && device !== undefined && stat.dev !== device
  }
}
