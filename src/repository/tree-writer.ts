/**
 * Writes directories and chunk lists as trees of blobs (FORMAT.md 12 and 13). Where nodes end
 * depends on contents alone, so that a change moves only the nodes around it; memory is one open
 * node a level, however large the directory.
 */

import type { ByteString } from '../base/bytes.ts'
import { assert, CairnError } from '../base/errors.ts'
import type { KeyedBlake3 } from '../crypto/blake3.ts'
import { CborWriter } from '../format/cbor.ts'
import { BLOB_TYPE, type BlobType, LIMIT, REFERENCE_BYTES, SPLIT } from '../format/constants.ts'
import {
  encodeInner,
  encodeListLeaf,
  type InnerRow,
  LEAF_HEAD,
  type NodeRoot,
  referenceId,
  referenceLength,
  type TreeEntry,
  writeEntry,
} from '../format/tree.ts'

/** Takes a metadata blob and returns its id, having stored it unless it was there. */
export type SaveBlob = (type: BlobType, bytes: Uint8Array) => Uint8Array

function tailNumber(id: Uint8Array): number {
  return (
    ((id[28] ?? 0) | ((id[29] ?? 0) << 8) | ((id[30] ?? 0) << 16) | ((id[31] ?? 0) << 24)) >>> 0
  )
}

/** The levels of inner nodes above the leaves. */
class InnerLevels {
  readonly #save: SaveBlob
  readonly #levels: InnerRow[][] = []

  constructor(save: SaveBlob) {
    this.#save = save
  }

  /** These levels as they are now, to be finished apart from what comes. */
  copy(): InnerLevels {
    const copy = new InnerLevels(this.#save)
    copy.#levels.push(...this.#levels.map((rows) => [...rows]))
    return copy
  }

  add(row: InnerRow, level = 0): void {
    if (level >= LIMIT.treeHeightMax) {
      throw new CairnError(
        'CAIRN_FAILED',
        'a directory or file has more parts than the format holds',
      )
    }
    let rows = this.#levels[level]
    if (rows === undefined) this.#levels[level] = rows = []
    rows.push(row)
    const isFull = rows.length >= SPLIT.innerRowsMax
    const isCut = rows.length >= SPLIT.innerRowsMin && tailNumber(row.id) % SPLIT.innerModulus === 0
    if (isFull || isCut) this.#close(level)
  }

  #close(level: number): void {
    const rows = this.#levels[level] ?? []
    this.#levels[level] = []
    const id = this.#save(BLOB_TYPE.inner, encodeInner(level + 1, rows))
    const entryCount = rows.reduce((sum, row) => sum + row.entryCount, 0)
    const byteCount = rows.reduce((sum, row) => sum + row.byteCount, 0)
    this.add({ lastName: rows.at(-1)?.lastName ?? '', id, entryCount, byteCount }, level + 1)
  }

  /** The root over everything that was added: at least one row. */
  finish(): NodeRoot {
    for (let level = 0; ; level++) {
      const rows = this.#levels[level] ?? []
      const isTop = this.#levels.slice(level + 1).every((above) => above.length === 0)
      const [only] = rows
      if (isTop && rows.length === 1 && only !== undefined) return { id: only.id, height: level }
      assert(!isTop || rows.length > 0, 'a tree has at least one node')
      if (rows.length > 0) this.#close(level)
    }
  }
}

/** Builds one directory from entries that come sorted by name. */
export class TreeWriter {
  readonly #save: SaveBlob
  readonly #splitHash: KeyedBlake3
  readonly #leaf = new CborWriter(4096)
  #inner: InnerLevels
  #entryCount = 0
  #leafCount = 0
  #lastName: ByteString = ''

  /** `splitHash` is BLAKE3 under the key `ksplit` of FORMAT.md 4. */
  constructor(save: SaveBlob, splitHash: KeyedBlake3) {
    this.#save = save
    this.#splitHash = splitHash
    this.#inner = new InnerLevels(save)
    this.#leaf.raw(LEAF_HEAD)
  }

  /** The directory as it is now, to be finished apart from what comes. */
  copy(): TreeWriter {
    const copy = new TreeWriter(this.#save, this.#splitHash)
    copy.#leaf.reset()
    copy.#leaf.raw(this.#leaf.view())
    copy.#inner = this.#inner.copy()
    copy.#entryCount = this.#entryCount
    copy.#leafCount = this.#leafCount
    copy.#lastName = this.#lastName
    return copy
  }

  add(entry: TreeEntry): void {
    writeEntry(this.#leaf, entry)
    this.#added(entry.name)
  }

  /** Adds an entry that is encoded already. */
  addEncoded(name: ByteString, bytes: Uint8Array): void {
    this.#leaf.raw(bytes)
    this.#added(name)
  }

  #added(name: ByteString): void {
    this.#lastName = name
    this.#entryCount++
    if (this.#leaf.length < SPLIT.leafBytesMin) return
    if (this.#leaf.length >= SPLIT.leafBytesMax || this.#endsLeaf(name)) this.#closeLeaf()
  }

  #endsLeaf(name: ByteString): boolean {
    const hash = this.#splitHash(Buffer.from(name, 'latin1'))
    const number = (hash[0] ?? 0) | ((hash[1] ?? 0) << 8)
    return number % SPLIT.leafModulus === 0
  }

  #closeLeaf(): void {
    const id = this.#save(BLOB_TYPE.leaf, this.#leaf.view())
    this.#inner.add({ lastName: this.#lastName, id, entryCount: this.#entryCount, byteCount: 0 })
    this.#leaf.reset()
    this.#leaf.raw(LEAF_HEAD)
    this.#entryCount = 0
    this.#leafCount++
  }

  finish(): NodeRoot {
    if (this.#entryCount > 0 || this.#leafCount === 0) this.#closeLeaf()
    return this.#inner.finish()
  }
}

/** Builds the content list of a file with more references than its entry holds. */
export class ChunkListWriter {
  readonly #save: SaveBlob
  readonly #inner: InnerLevels
  readonly #open = Buffer.allocUnsafeSlow(SPLIT.listReferencesMax * REFERENCE_BYTES)
  #count = 0
  #byteCount = 0

  constructor(save: SaveBlob) {
    this.#save = save
    this.#inner = new InnerLevels(save)
  }

  /** `references` has 36 bytes each. */
  add(references: Uint8Array): void {
    for (let i = 0; i < references.length / REFERENCE_BYTES; i++) {
      const at = i * REFERENCE_BYTES
      this.#open.set(references.subarray(at, at + REFERENCE_BYTES), this.#count * REFERENCE_BYTES)
      this.#count++
      this.#byteCount += referenceLength(references, i)
      const isCut =
        this.#count >= SPLIT.listReferencesMin &&
        tailNumber(referenceId(references, i)) % SPLIT.listModulus === 0
      if (isCut || this.#count === SPLIT.listReferencesMax) this.#closeLeaf()
    }
  }

  #closeLeaf(): void {
    const leaf = encodeListLeaf(this.#open.subarray(0, this.#count * REFERENCE_BYTES))
    const id = this.#save(BLOB_TYPE.list, leaf)
    const row = { lastName: '', id, entryCount: this.#count, byteCount: this.#byteCount }
    this.#inner.add(row)
    this.#count = 0
    this.#byteCount = 0
  }

  finish(): NodeRoot {
    if (this.#count > 0) this.#closeLeaf()
    return this.#inner.finish()
  }
}
