/**
 * What tombstones say but for the bodies that they keep, in a file of the local cache: where a
 * hundred thousand snapshots were forgotten, opening a repository would else read a hundred megabytes.
 *
 * A tombstone is named by its bytes, so what one said once is true as long as its name is listed. The
 * file is signed with a key that only those have who could open the tombstones, for the same authors:
 * whatever was done to it, it costs no more than the time to read them again.
 */

import { concat, equalBytes } from '../base/bytes.ts'
import { fileNameOf, ID_BYTES, idBytes } from '../base/ids.ts'
import { loadBlake3 } from '../crypto/blake3.ts'
import { derive } from '../crypto/derive.ts'
import type { Author } from '../format/config.ts'
import type { Keyring } from './keyring.ts'
import type { SeenTombstone } from './loaded-objects.ts'
import { SortedIds } from './sorted-ids.ts'

/** The folder of a cache, as far as it is used here. What cannot be read or written throws. */
export interface FileCache {
  /** Undefined if it is not there. */
  readFile(name: string): Uint8Array | undefined
  writeFileAtomically(name: string, bytes: Uint8Array): void
}

const FILE = 'tombstones'
const MAGIC = Buffer.from('cairn tombstones 1\n', 'latin1')
const MAC_BYTES = 32
const BODY_AT = MAGIC.length + MAC_BYTES
/** Name, id, length, and how many ids follow of each sort. */
const ROW_BYTES = 2 * ID_BYTES + 4 * 4

export class TombstoneCache {
  readonly #files: FileCache
  readonly #mac: (bytes: Uint8Array) => Uint8Array

  constructor(files: FileCache, keyring: Keyring, authors: readonly Author[]) {
    this.#files = files
    const admins = authors.filter(({ role }) => role === 'admin').map(({ publicKey }) => publicKey)
    const material = concat(keyring.ids.metadata, keyring.repositoryId, ...admins)
    this.#mac = loadBlake3().keyed(derive('tombstone cache', material))
  }

  /** What was written last; nothing if it is not there, or not as it was written. */
  read(): SeenTombstone[] {
    try {
      const bytes = this.#files.readFile(FILE)
      if (bytes === undefined || !this.#isOurs(bytes)) return []
      return decode(bytes.subarray(BODY_AT))
    } catch {
      return [] // It can be made anew.
    }
  }

  #isOurs(bytes: Uint8Array): boolean {
    if (bytes.length < BODY_AT || !equalBytes(bytes.subarray(0, MAGIC.length), MAGIC)) return false
    return equalBytes(bytes.subarray(MAGIC.length, BODY_AT), this.#mac(bytes.subarray(BODY_AT)))
  }

  write(tombstones: readonly SeenTombstone[]): void {
    const body = concat(...tombstones.flatMap(parts))
    try {
      this.#files.writeFileAtomically(FILE, concat(MAGIC, this.#mac(body), body))
    } catch {
      // The next opening reads the tombstones again.
    }
  }
}

function parts({ name, id, byteCount, forgotten, merged, known }: SeenTombstone): Uint8Array[] {
  const numbers = Buffer.alloc(ROW_BYTES - 2 * ID_BYTES)
  numbers.writeUInt32LE(byteCount, 0)
  numbers.writeUInt32LE(forgotten.size, 4)
  numbers.writeUInt32LE(merged.size, 8)
  numbers.writeUInt32LE(known.length, 12)
  return [idBytes(name), id, numbers, forgotten.bytes, merged.bytes, ...known]
}

/** All in views of `bytes`. */
function decode(bytes: Uint8Array): SeenTombstone[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const tombstones: SeenTombstone[] = []
  let at = 0
  const take = (idCount: number) => bytes.subarray(at, (at += idCount * ID_BYTES))
  while (at < bytes.length) {
    const name = fileNameOf(take(1))
    const id = take(1)
    const [byteCount = 0, forgotten = 0, merged = 0, known = 0] = [0, 4, 8, 12].map((offset) =>
      view.getUint32(at + offset, true),
    )
    at += ROW_BYTES - 2 * ID_BYTES
    tombstones.push({
      name,
      id,
      byteCount,
      forgotten: new SortedIds(take(forgotten)),
      merged: new SortedIds(take(merged)),
      known: [...new SortedIds(take(known))],
    })
  }
  return tombstones
}
