/**
 * Reads a tree leaf entry by entry (FORMAT.md 12). Every field of every entry is checked, but an
 * object is made only of the entries that are asked for: who looks for a name reads millions.
 */

import type { ByteString } from '../base/bytes.ts'
import { ID_BYTES } from '../base/ids.ts'
import { CborReader } from './cbor.ts'
import { LIMIT, REFERENCE_BYTES } from './constants.ts'
import type { NodeRoot, TreeEntry } from './tree.ts'
import { readXattrs } from './xattrs.ts'

const SLASH = 0x2f
const DOT = 0x2e

type Draft = { -readonly [Key in keyof TreeEntry]: TreeEntry[Key] }

/** Fields that few entries have. */
type RareFields = Pick<
  Draft,
  | 'contentList'
  | 'target'
  | 'device'
  | 'subtree'
  | 'xattrs'
  | 'xattrsId'
  | 'flags'
  | 'linkGroup'
  | 'changedWhileRead'
  | 'unknownCritical'
>

/** The entry that was read last. */
export class EntryRow {
  readonly #bytes: Buffer
  /** The same bytes as they were given, for views. */
  readonly #views: Uint8Array
  readonly #reader: CborReader
  /** All bytes as one string, of which names are slices: faster than a string made for each. */
  #text: string | undefined
  #lastNameStart = 0
  #lastNameEnd = 0
  #nameStart = 0
  #nameEnd = 0
  #type = 0
  #mode = 0
  #uid = 0
  #gid = 0
  #mtimeSeconds = 0
  #mtimeNanoseconds = 0
  #birthtimeSeconds: number | undefined
  #birthtimeNanoseconds = 0
  #atimeSeconds: number | undefined
  #atimeNanoseconds = 0
  #size = 0
  #contentStart = 0
  #contentEnd: number | undefined
  #rare: RareFields | undefined

  constructor(bytes: Uint8Array, start: number) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#views = bytes
    this.#reader = new CborReader(bytes, 'tree leaf', start)
  }

  get type(): number {
    return this.#type
  }

  /** A slice of all names: not to be kept, because it keeps the others. That of `entry` may be. */
  get name(): ByteString {
    this.#text ??= this.#bytes.toString('latin1')
    return this.#text.slice(this.#nameStart, this.#nameEnd)
  }

  /** Reads the next entry. False at the end; throws CAIRN_CORRUPT if there is none and no end. */
  next(): boolean {
    const reader = this.#reader
    if (reader.atEnd) return false
    this.#clear()
    let key: number | undefined
    for (let left = reader.mapCount(); left > 0; left--) {
      key = reader.keyAfter(key)
      this.#readField(key)
    }
    return true
  }

  #clear(): void {
    this.#nameStart = 0
    this.#nameEnd = 0
    this.#type = 0
    this.#mode = 0
    this.#uid = 0
    this.#gid = 0
    this.#mtimeSeconds = 0
    this.#mtimeNanoseconds = 0
    this.#birthtimeSeconds = undefined
    this.#atimeSeconds = undefined
    this.#size = 0
    this.#contentEnd = undefined
    this.#rare = undefined
  }

  #readField(key: number): void {
    const reader = this.#reader
    switch (key) {
      case 0:
        this.#nameStart = reader.passBytes()
        this.#nameEnd = reader.position
        return
      case 1:
        this.#type = reader.unsigned()
        return
      case 2:
        this.#mode = reader.unsigned(0o7777)
        return
      case 3:
        this.#uid = reader.unsigned(0xffff_ffff)
        return
      case 4:
        this.#gid = reader.unsigned(0xffff_ffff)
        return
      case 5:
        this.#mtimeSeconds = reader.integer()
        return
      case 6:
        this.#mtimeNanoseconds = readNanoseconds(reader)
        return
      case 10:
        this.#size = reader.unsigned()
        return
      case 11:
        this.#contentStart = reader.passBytes(LIMIT.inlineReferencesMax * REFERENCE_BYTES)
        this.#contentEnd = reader.position
        if ((this.#contentEnd - this.#contentStart) % REFERENCE_BYTES !== 0) {
          reader.fail('content is cut off')
        }
        return
      default:
        this.#readOtherField(key)
    }
  }

  #readOtherField(key: number): void {
    const reader = this.#reader
    switch (key) {
      case 7:
        this.#birthtimeSeconds = reader.integer()
        this.#birthtimeNanoseconds = 0
        return
      case 8:
        this.#birthtimeSeconds ??= 0
        this.#birthtimeNanoseconds = readNanoseconds(reader)
        return
      case 9:
        this.#atimeSeconds = reader.integer()
        this.#atimeNanoseconds = 0
        return
      case 25:
        this.#atimeSeconds ??= 0
        this.#atimeNanoseconds = readNanoseconds(reader)
        return
      default:
        this.#rare ??= {}
        readRareField(reader, this.#rare, key)
    }
  }

  /** Why the name cannot be an entry's, or undefined if it can and comes behind the last that can. */
  nameProblem(): string | undefined {
    const problem = this.#spellingProblem() ?? this.#orderProblem()
    if (problem !== undefined) return problem
    this.#lastNameStart = this.#nameStart
    this.#lastNameEnd = this.#nameEnd
    return undefined
  }

  #spellingProblem(): string | undefined {
    const bytes = this.#bytes
    const start = this.#nameStart
    const length = this.#nameEnd - start
    if (length === 0) return 'it is empty'
    if (length > LIMIT.nameBytesMax) return `it has ${length} bytes`
    if (bytes[start] === DOT && (length === 1 || (length === 2 && bytes[start + 1] === DOT))) {
      return 'it is a directory reference'
    }
    for (let at = start; at < this.#nameEnd; at++) {
      if (bytes[at] === SLASH) return 'it contains a slash'
      if (bytes[at] === 0) return 'it contains a NUL'
    }
    return undefined
  }

  #orderProblem(): string | undefined {
    const bytes = this.#bytes
    const end = this.#nameEnd
    let at = this.#nameStart
    for (let last = this.#lastNameStart; last < this.#lastNameEnd; last++, at++) {
      const difference = at < end ? (bytes[at] ?? 0) - (bytes[last] ?? 0) : -1
      if (difference > 0) return undefined
      if (difference < 0) return 'it is out of order or there twice'
    }
    return at < end ? undefined : 'it is out of order or there twice'
  }

  /** The whole entry, whose byte arrays are views. */
  entry(): TreeEntry {
    const draft: Draft = {
      name: this.#bytes.toString('latin1', this.#nameStart, this.#nameEnd),
      type: this.#type,
      mode: this.#mode,
      uid: this.#uid,
      gid: this.#gid,
      mtime: { seconds: this.#mtimeSeconds, nanoseconds: this.#mtimeNanoseconds },
      size: this.#size,
    }
    if (this.#birthtimeSeconds !== undefined) {
      const nanoseconds = this.#birthtimeNanoseconds
      draft.birthtime = { seconds: this.#birthtimeSeconds, nanoseconds }
    }
    if (this.#atimeSeconds !== undefined) {
      draft.atime = { seconds: this.#atimeSeconds, nanoseconds: this.#atimeNanoseconds }
    }
    if (this.#contentEnd !== undefined) {
      draft.content = this.#views.subarray(this.#contentStart, this.#contentEnd)
    }
    return this.#rare === undefined ? draft : Object.assign(draft, this.#rare)
  }
}

function readNanoseconds(reader: CborReader): number {
  return reader.unsigned(999_999_999)
}

function readRoot(reader: CborReader): NodeRoot {
  reader.array(2)
  const id = reader.bytes(ID_BYTES, ID_BYTES)
  return { id, height: reader.unsigned(LIMIT.treeHeightMax) }
}

function readRareField(reader: CborReader, draft: RareFields, key: number): void {
  switch (key) {
    case 12:
      draft.contentList = readRoot(reader)
      return
    case 13:
      draft.target = reader.bytes(LIMIT.targetBytesMax)
      return
    case 14:
      reader.array(2)
      draft.device = { major: reader.unsigned(), minor: reader.unsigned() }
      return
    case 15:
      draft.subtree = { id: reader.bytes(ID_BYTES, ID_BYTES), height: 0 }
      return
    case 16:
      if (draft.subtree === undefined) reader.fail('a height without a subtree')
      draft.subtree = { id: draft.subtree.id, height: reader.unsigned(LIMIT.treeHeightMax) }
      return
    case 17:
      draft.xattrs = readXattrs(reader)
      return
    case 18:
      draft.xattrsId = reader.bytes(ID_BYTES, ID_BYTES)
      return
    case 19:
      draft.flags = reader.unsigned()
      return
    case 20:
      draft.linkGroup = BigInt(reader.integer64())
      return
    case 23:
      reader.map((status) => {
        if (status === 0) draft.changedWhileRead = reader.unsigned() === 1
        else reader.skip()
      })
      return
    default:
      if (key < 0) draft.unknownCritical = true
      reader.skip()
  }
}
