/**
 * CBOR as FORMAT.md 2 allows it: RFC 8949 core deterministic encoding without floats, tags and
 * indefinite lengths. Integers are numbers while exact, bigints beyond. The reader rejects every
 * other spelling, so that equal values have equal bytes and nothing can hide in an encoding.
 */

import { CairnError } from '../base/errors.ts'

/** Shared by all that is empty. */
const NOTHING = new Uint8Array()
const TYPE_BYTES = 2
const TYPE_TEXT = 3
const TYPE_ARRAY = 4
const TYPE_MAP = 5

/** Deeper nesting than any structure of FORMAT.md has. */
const DEPTH_MAX = 16

export class CborWriter {
  #bytes: Buffer
  #length = 0

  constructor(byteCountHint = 256) {
    this.#bytes = Buffer.allocUnsafeSlow(byteCountHint)
  }

  get length(): number {
    return this.#length
  }

  /** The bytes written so far; valid until the next write. */
  view(): Uint8Array {
    return this.#bytes.subarray(0, this.#length)
  }

  /** A copy of the bytes written so far. */
  finish(): Uint8Array {
    return new Uint8Array(this.view())
  }

  reset(): void {
    this.#length = 0
  }

  #reserve(byteCount: number): number {
    const at = this.#length
    this.#length = at + byteCount
    if (this.#length > this.#bytes.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(this.#length, this.#bytes.length * 2))
      this.#bytes.copy(grown, 0, 0, at)
      this.#bytes = grown
    }
    return at
  }

  #head(type: number, value: number): void {
    const major = type << 5
    if (value < 24) {
      const at = this.#reserve(1)
      this.#bytes[at] = major | value
    } else if (value < 0x100) {
      const at = this.#reserve(2)
      this.#bytes[at] = major | 24
      this.#bytes[at + 1] = value
    } else if (value < 0x10000) {
      const at = this.#reserve(3)
      this.#bytes[at] = major | 25
      this.#bytes.writeUInt16BE(value, at + 1)
    } else if (value < 0x1_0000_0000) {
      const at = this.#reserve(5)
      this.#bytes[at] = major | 26
      this.#bytes.writeUInt32BE(value, at + 1)
    } else {
      const at = this.#reserve(9)
      this.#bytes[at] = major | 27
      this.#bytes.writeBigUInt64BE(BigInt(value), at + 1)
    }
  }

  integer(value: number | bigint): void {
    if (typeof value === 'number') {
      if (!Number.isSafeInteger(value)) throw new RangeError(`${value} is not an exact integer`)
      if (value >= 0) this.#head(0, value)
      else this.#head(1, -1 - value)
      return
    }
    const magnitude = value >= 0n ? value : -1n - value
    if (magnitude > 0xffff_ffff_ffff_ffffn) throw new RangeError(`${value} does not fit 64 bits`)
    if (magnitude <= BigInt(Number.MAX_SAFE_INTEGER)) {
      this.#head(value >= 0n ? 0 : 1, Number(magnitude))
      return
    }
    const at = this.#reserve(9)
    this.#bytes[at] = ((value >= 0n ? 0 : 1) << 5) | 27
    this.#bytes.writeBigUInt64BE(magnitude, at + 1)
  }

  bytes(value: Uint8Array): void {
    this.#head(TYPE_BYTES, value.length)
    const at = this.#reserve(value.length)
    this.#bytes.set(value, at)
  }

  /** A byte string given as latin1 text, one character a byte. */
  byteString(value: string): void {
    this.#head(TYPE_BYTES, value.length)
    const at = this.#reserve(value.length)
    this.#bytes.write(value, at, 'latin1')
  }

  text(value: string): void {
    const byteCount = Buffer.byteLength(value, 'utf8')
    this.#head(TYPE_TEXT, byteCount)
    const at = this.#reserve(byteCount)
    this.#bytes.write(value, at, 'utf8')
  }

  array(count: number): void {
    this.#head(TYPE_ARRAY, count)
  }

  /** The caller writes `count` pairs, keys in the order of their encodings. */
  map(count: number): void {
    this.#head(TYPE_MAP, count)
  }

  /** Bytes that are already CBOR. */
  raw(value: Uint8Array): void {
    const at = this.#reserve(value.length)
    this.#bytes.set(value, at)
  }
}

export class CborReader {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  readonly #what: string
  /** The same bytes, made where strings are read: one view for all of them. */
  #text: Buffer | undefined
  #at: number
  readonly #end: number

  /** `what` names the structure in errors: "tree leaf", "snapshot". */
  constructor(bytes: Uint8Array, what: string, start = 0, end = bytes.length) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#what = what
    this.#at = start
    this.#end = end
  }

  get position(): number {
    return this.#at
  }

  get atEnd(): boolean {
    return this.#at >= this.#end
  }

  fail(problem: string, cause?: CairnError): never {
    throw new CairnError('CAIRN_CORRUPT', `cannot decode ${this.#what}: ${problem}`, {
      cause,
      details: { offset: this.#at },
    })
  }

  #need(byteCount: number): void {
    if (byteCount > this.#end - this.#at) this.fail(`it ends too early at byte ${this.#at}`)
  }

  /** Reads a head and returns its value; the major type must be `type`. */
  #head(type: number): number | bigint {
    this.#need(1)
    const initial = this.#bytes[this.#at] ?? 0
    if (initial >> 5 !== type) this.fail(`unexpected type ${initial >> 5} at byte ${this.#at}`)
    const info = initial & 31
    this.#at += 1
    if (info < 24) return info
    if (info === 24) return this.#shortest(1, 24)
    if (info === 25) return this.#shortest(2, 0x100)
    if (info === 26) return this.#shortest(4, 0x1_0000)
    if (info !== 27) return this.fail(`indefinite or reserved length at byte ${this.#at - 1}`)
    this.#need(8)
    const value = this.#view.getBigUint64(this.#at)
    if (value < 0x1_0000_0000n) this.fail('an integer is not in its shortest form')
    this.#at += 8
    return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value
  }

  #shortest(byteCount: 1 | 2 | 4, smallest: number): number {
    this.#need(byteCount)
    const at = this.#at
    const value =
      byteCount === 1
        ? this.#view.getUint8(at)
        : byteCount === 2
          ? this.#view.getUint16(at)
          : this.#view.getUint32(at)
    if (value < smallest) this.fail('an integer is not in its shortest form')
    this.#at += byteCount
    return value
  }

  #count(type: number): number {
    const value = this.#head(type)
    // Every item takes at least a byte: a larger count is a lie, refused before any allocation.
    if (typeof value === 'bigint' || value > this.#end - this.#at) {
      return this.fail(`a length of ${value} goes beyond the end`)
    }
    return value
  }

  #peekType(): number {
    this.#need(1)
    return (this.#bytes[this.#at] ?? 0) >> 5
  }

  integer(): number {
    const value = this.integer64()
    if (typeof value === 'bigint') return this.fail(`${value} is too large`)
    return value
  }

  unsigned(max = Number.MAX_SAFE_INTEGER): number {
    const value = this.#head(0)
    if (typeof value === 'bigint' || value > max) return this.fail(`${value} is above ${max}`)
    return value
  }

  /** A number while it is exact, a bigint otherwise. */
  integer64(): number | bigint {
    if (this.#peekType() === 0) return this.#head(0)
    const value = this.#head(1)
    if (typeof value === 'bigint') return -1n - value
    return Number.isSafeInteger(-1 - value) ? -1 - value : -1n - BigInt(value)
  }

  /** A view, not a copy. */
  bytes(byteCountMax = Number.MAX_SAFE_INTEGER, exactly?: number): Uint8Array {
    const start = this.passBytes(byteCountMax, exactly)
    return start === this.#at ? NOTHING : this.#bytes.subarray(start, this.#at)
  }

  /** Passes over a byte string. Returns where its bytes begin: they end at `position`. */
  passBytes(byteCountMax = Number.MAX_SAFE_INTEGER, exactly?: number): number {
    const count = this.#count(TYPE_BYTES)
    if (count > byteCountMax) this.fail(`${count} bytes where ${byteCountMax} are allowed`)
    if (exactly !== undefined && count !== exactly) {
      this.fail(`${count} bytes where ${exactly} belong`)
    }
    this.#at += count
    return this.#at - count
  }

  /** A byte string as latin1 text, one character a byte. */
  byteString(byteCountMax = Number.MAX_SAFE_INTEGER): string {
    const start = this.passBytes(byteCountMax)
    const { buffer, byteOffset, byteLength } = this.#bytes
    this.#text ??= Buffer.from(buffer, byteOffset, byteLength)
    return this.#text.toString('latin1', start, this.#at)
  }

  text(): string {
    const count = this.#count(TYPE_TEXT)
    const start = this.#at
    this.#at = start + count
    try {
      return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(
        this.#bytes.subarray(start, this.#at),
      )
    } catch {
      return this.fail('text is not UTF-8')
    }
  }

  array(exactly?: number): number {
    const count = this.#count(TYPE_ARRAY)
    if (exactly !== undefined && count !== exactly) {
      this.fail(`an array of ${count} where ${exactly} belong`)
    }
    return count
  }

  /** Calls `field` for each pair of a map with integer keys; `field` consumes the value. */
  map(field: (key: number) => void): void {
    let last: number | undefined
    for (let left = this.mapCount(); left > 0; left--) {
      last = this.keyAfter(last)
      field(last)
    }
  }

  /** Begins a map that is read in steps: how many pairs it has. */
  mapCount(): number {
    return this.#count(TYPE_MAP)
  }

  /** The key of the next pair, which has to come behind `last`, that of the pair before. */
  keyAfter(last: number | undefined): number {
    const key = this.integer()
    // The order of encodings in their shortest form: 0, 1, 2, … and then -1, -2, ….
    const isBehind = last === undefined || (last < 0 ? key < last : key > last || key < 0)
    if (!isBehind) this.fail('the keys of a map are out of order or equal')
    return key
  }

  /** As `map`, for maps whose keys are byte strings. */
  bytesMap(field: (key: Uint8Array) => void): void {
    let last: Uint8Array | undefined
    for (let left = this.mapCount(); left > 0; left--) {
      const start = this.#at
      const key = this.bytes()
      const encoded = this.#bytes.subarray(start, this.#at)
      if (last !== undefined && Buffer.compare(last, encoded) >= 0) {
        this.fail('the keys of a map are out of order or equal')
      }
      last = encoded
      field(key)
    }
  }

  /** Checks and passes over one item of any kind. */
  skip(depth = 0): void {
    if (depth > DEPTH_MAX) this.fail('it is nested too deeply')
    const type = this.#peekType()
    if (type <= 1) this.#head(type)
    else if (type === TYPE_BYTES) this.bytes()
    else if (type === TYPE_TEXT) this.text()
    else if (type === TYPE_ARRAY) {
      for (let left = this.array(); left > 0; left--) this.skip(depth + 1)
    } else if (type === TYPE_MAP) {
      let last: Uint8Array | undefined
      for (let left = this.#count(TYPE_MAP); left > 0; left--) {
        const start = this.#at
        this.skip(depth + 1)
        const encoded = this.#bytes.subarray(start, this.#at)
        if (last !== undefined && Buffer.compare(last, encoded) >= 0) {
          this.fail('the keys of a map are out of order or equal')
        }
        last = encoded
        this.skip(depth + 1)
      }
    } else this.fail(`floats, tags and simple values are not allowed (byte ${this.#at})`)
  }

  /** Fails unless everything was consumed. */
  end(): void {
    if (this.#at !== this.#end) this.fail(`${this.#end - this.#at} bytes are left over`)
  }
}
