/** Which contents a backup may have found: everything that was there at any time while it ran. */

import { createHash } from 'node:crypto'
import type { ByteString } from '../../src/base/bytes.ts'
import type { SimFiles } from './sim-files.ts'

export const SOURCE = '/home'

export function digestOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

export class SourceRecord {
  /** Per path the digests that it had; undefined where it was not there. */
  readonly #legal = new Map<ByteString, Set<string | undefined>>()

  /** Begins with what `files` has now. */
  static of(files: SimFiles): SourceRecord {
    const record = new SourceRecord()
    for (const path of files.filesBelow(SOURCE)) {
      const bytes = files.contentOf(path)
      if (bytes !== undefined) record.#legal.set(path, new Set([digestOf(bytes)]))
    }
    return record
  }

  /** Of one file that cannot change. */
  static ofStream(path: ByteString, bytes: Uint8Array): SourceRecord {
    const record = new SourceRecord()
    record.#legal.set(path, new Set([digestOf(bytes)]))
    return record
  }

  /** Adds what there is now to what is legal. */
  update(files: SimFiles): void {
    const now = new Set(files.filesBelow(SOURCE))
    for (const [path, legal] of this.#legal) if (!now.has(path)) legal.add(undefined)
    for (const path of now) {
      const legal = this.#legal.get(path) ?? new Set([undefined])
      this.#legal.set(path, legal)
      const bytes = files.contentOf(path)
      if (bytes !== undefined) legal.add(digestOf(bytes))
    }
  }

  /** What in `found` (path to digest) cannot be what was backed up; undefined if it all can. */
  mismatch(found: ReadonlyMap<ByteString, string>): string | undefined {
    for (const [path, digest] of found) {
      const legal = this.#legal.get(path)
      if (legal === undefined) return `${path} was never there`
      if (!legal.has(digest)) return `${path} has other bytes than it ever had`
    }
    for (const [path, legal] of this.#legal) {
      if (!found.has(path) && !legal.has(undefined)) return `${path} is missing`
    }
    return undefined
  }
}
