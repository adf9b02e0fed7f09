/**
 * zip with Unix modes, owners, symbolic links and, where sizes or counts need it, zip64.
 *
 *   for each entry: local header, content [, data descriptor]
 *   at the end: a central header for each entry, end of directory
 *
 * Of its own, and not a package: yazl, the best kept one, looks through all entries again for each
 * (10,000 small files took 2 s, 80,000 took 25 s), and takes names as text only. The memory is the
 * central directory: about 100 bytes and its name for each entry.
 */

import { crc32, createDeflateRaw, type DeflateRaw, deflateRawSync } from 'node:zlib'
import { type ByteString, bytesOf, concat } from '../base/bytes.ts'
import { assert, CairnError } from '../base/errors.ts'
import { MODE_TYPE } from '../base/mode-type.ts'
import type { NodeType } from '../base/units.ts'
import { type ArchiveEntry, type ArchiveWriter, type ByteSink, GatheringSink } from './archive.ts'

const LOCAL_SIGNATURE = 0x04034b50
const DESCRIPTOR_SIGNATURE = 0x08074b50
const CENTRAL_SIGNATURE = 0x02014b50
const END64_SIGNATURE = 0x06064b50
const LOCATOR64_SIGNATURE = 0x07064b50
const END_SIGNATURE = 0x06054b50

const VERSION = 20
const VERSION_64 = 45
/** "Made by" Unix, whose mode is in the upper half of the external attributes. */
const MADE_BY_UNIX = 3 << 8
const FLAG_DESCRIPTOR = 1 << 3
const FLAG_UTF8 = 1 << 11
const STORED = 0
const DEFLATED = 8
const DOS_DIRECTORY = 0x10

const U16_MAX = 0xffff
const U32_MAX = 0xffff_ffff
/** Contents up to this are compressed in one go. */
const WHOLE_BYTES_MAX = 1 << 20
const LEVEL = 6

const TYPE_BITS: Readonly<Partial<Record<NodeType, number>>> = {
  file: MODE_TYPE.file,
  dir: MODE_TYPE.directory,
  symlink: MODE_TYPE.symlink,
}

interface Stored {
  readonly crc: number
  readonly plainBytes: number
  readonly storedBytes: number
}

/** What the local and the central header of an entry have in common. */
interface Member {
  readonly name: Uint8Array
  readonly flags: number
  readonly method: number
  readonly time: number
  readonly date: number
  /** Extra fields but for the one of zip64. */
  readonly extra: Uint8Array
  readonly attributes: number
  readonly offset: number
}

/** MS-DOS has 1980 to 2107, every other second, without a zone: UTC here. */
function dosTime(seconds: number): { readonly time: number; readonly date: number } {
  const first = Date.UTC(1980, 0, 1) / 1000
  const last = Date.UTC(2107, 11, 31, 23, 59, 58) / 1000
  const at = new Date(Math.min(last, Math.max(first, seconds)) * 1000)
  return {
    time: (at.getUTCHours() << 11) | (at.getUTCMinutes() << 5) | (at.getUTCSeconds() >> 1),
    date: ((at.getUTCFullYear() - 1980) << 9) | ((at.getUTCMonth() + 1) << 5) | at.getUTCDate(),
  }
}

/** Info-ZIP's fields for the time in seconds (if 32 bits have it) and for owners. */
function extraOf({ mtime, uid, gid }: ArchiveEntry): Uint8Array {
  const owner = Buffer.alloc(15)
  owner.writeUInt16LE(0x7875, 0)
  owner.writeUInt16LE(11, 2)
  owner[4] = 1
  owner[5] = 4
  owner.writeUInt32LE(uid, 6)
  owner[10] = 4
  owner.writeUInt32LE(gid, 11)
  if (mtime.seconds < -(2 ** 31) || mtime.seconds >= 2 ** 31) return owner
  const time = Buffer.alloc(9)
  time.writeUInt16LE(0x5455, 0)
  time.writeUInt16LE(5, 2)
  time[4] = 1
  time.writeInt32LE(mtime.seconds, 5)
  return concat(time, owner)
}

function isUtf8Beyond(name: ByteString): boolean {
  return /[\x80-\xff]/.test(name) && !Buffer.from(bytesOf(name)).toString('utf8').includes('\ufffd')
}

function field64(values: readonly number[]): Buffer {
  const field = Buffer.alloc(4 + values.length * 8)
  field.writeUInt16LE(1, 0)
  field.writeUInt16LE(values.length * 8, 2)
  for (const [at, value] of values.entries()) field.writeBigUInt64LE(BigInt(value), 4 + at * 8)
  return field
}

export interface ZipOptions {
  /** From which size, offset or count on the wide fields are used; what the narrow ones can say. */
  readonly wideFrom?: { readonly bytes: number; readonly entries: number }
}

export class ZipWriter implements ArchiveWriter {
  readonly holdsHardLinks = false
  readonly #sink: GatheringSink
  readonly #wideFrom: { readonly bytes: number; readonly entries: number }
  readonly #central: Uint8Array[] = []

  constructor(sink: ByteSink, options: ZipOptions = {}) {
    this.#sink = new GatheringSink(sink)
    this.#wideFrom = options.wideFrom ?? { bytes: U32_MAX, entries: U16_MAX }
  }

  holds(type: NodeType): boolean {
    return TYPE_BITS[type] !== undefined
  }

  async add(entry: ArchiveEntry, content?: AsyncIterable<Uint8Array>): Promise<void> {
    const bits = TYPE_BITS[entry.type]
    assert(bits !== undefined, `a ${entry.type} can be in a zip archive`)
    const isDirectory = entry.type === 'dir'
    const path = isDirectory ? `${entry.path}/` : entry.path
    const name = bytesOf(path)
    if (name.length > U16_MAX) {
      throw new CairnError('CAIRN_FAILED', 'its path is longer than a zip archive can have it')
    }
    const member = {
      name,
      flags: isUtf8Beyond(path) ? FLAG_UTF8 : 0,
      ...dosTime(entry.mtime.seconds),
      extra: extraOf(entry),
      attributes: (bits | entry.mode) * 0x1_0000 + (isDirectory ? DOS_DIRECTORY : 0),
      offset: this.#sink.byteCount,
    }
    if (entry.type === 'file' && entry.size > WHOLE_BYTES_MAX) {
      await this.#addStream(
        { ...member, method: DEFLATED, flags: member.flags | FLAG_DESCRIPTOR },
        entry.size,
        content ?? NOTHING,
      )
    } else {
      const plain =
        entry.type === 'file' ? await gather(content ?? NOTHING, entry.size) : entry.target
      await this.#addWhole(member, plain ?? Buffer.alloc(0))
    }
  }

  async #addWhole(member: Omit<Member, 'method'>, plain: Uint8Array): Promise<void> {
    const deflated = plain.length === 0 ? plain : deflateRawSync(plain, { level: LEVEL })
    const isSmaller = deflated.length < plain.length
    const stored = isSmaller ? deflated : plain
    const sizes = { crc: crc32(plain), plainBytes: plain.length, storedBytes: stored.length }
    const whole = { ...member, method: isSmaller ? DEFLATED : STORED }
    await this.#sink.write(this.#local(whole, sizes, false))
    await this.#sink.write(stored)
    this.#remember(whole, sizes)
  }

  /** The sizes follow the content; whether they need the wide form is told before it. */
  async #addStream(
    member: Member,
    size: number,
    content: AsyncIterable<Uint8Array>,
  ): Promise<void> {
    // What cannot be compressed grows a little.
    const isWide = size + size / 1024 >= this.#wideFrom.bytes
    const unknown = { crc: 0, plainBytes: 0, storedBytes: 0 }
    await this.#sink.write(this.#local(member, unknown, isWide))
    const sizes = await this.#deflate(content, size)
    const descriptor = Buffer.alloc(isWide ? 24 : 16)
    descriptor.writeUInt32LE(DESCRIPTOR_SIGNATURE, 0)
    descriptor.writeUInt32LE(sizes.crc, 4)
    if (isWide) {
      descriptor.writeBigUInt64LE(BigInt(sizes.storedBytes), 8)
      descriptor.writeBigUInt64LE(BigInt(sizes.plainBytes), 16)
    } else {
      descriptor.writeUInt32LE(sizes.storedBytes, 8)
      descriptor.writeUInt32LE(sizes.plainBytes, 12)
    }
    await this.#sink.write(descriptor)
    this.#remember(member, sizes)
  }

  async #deflate(content: AsyncIterable<Uint8Array>, size: number): Promise<Stored> {
    const deflater = createDeflateRaw({ level: LEVEL })
    let crc = 0
    let plainBytes = 0
    const feed = async () => {
      try {
        for await (const bytes of content) {
          plainBytes += bytes.length
          crc = crc32(bytes, crc)
          if (!deflater.write(bytes)) await drained(deflater)
          if (deflater.destroyed) return
        }
        requireSize(plainBytes, size)
        deflater.end()
      } catch (error) {
        deflater.destroy(error instanceof Error ? error : undefined)
        throw error
      }
    }
    const feeding = feed()
    // Its failure comes out of the loop as well, and is thrown from here.
    feeding.catch(() => {})
    let storedBytes = 0
    try {
      for await (const bytes of deflater as AsyncIterable<Buffer>) {
        storedBytes += bytes.length
        await this.#sink.write(bytes)
      }
    } finally {
      await this.#sink.flush()
      await feeding
    }
    return { crc, plainBytes, storedBytes }
  }

  #local(member: Member, sizes: Stored, isWide: boolean): Uint8Array {
    const wide = isWide ? field64([0, 0]) : Buffer.alloc(0)
    const header = Buffer.alloc(30)
    header.writeUInt32LE(LOCAL_SIGNATURE, 0)
    header.writeUInt16LE(isWide ? VERSION_64 : VERSION, 4)
    writeCommon(header, 6, member)
    header.writeUInt32LE(sizes.crc, 14)
    header.writeUInt32LE(isWide ? U32_MAX : sizes.storedBytes, 18)
    header.writeUInt32LE(isWide ? U32_MAX : sizes.plainBytes, 22)
    header.writeUInt16LE(member.name.length, 26)
    header.writeUInt16LE(wide.length + member.extra.length, 28)
    return concat(header, member.name, wide, member.extra)
  }

  #remember(member: Member, { crc, plainBytes, storedBytes }: Stored): void {
    const limit = this.#wideFrom.bytes
    const isWide = plainBytes >= limit || storedBytes >= limit || member.offset >= limit
    const wide = isWide ? field64([plainBytes, storedBytes, member.offset]) : Buffer.alloc(0)
    const header = Buffer.alloc(46)
    header.writeUInt32LE(CENTRAL_SIGNATURE, 0)
    header.writeUInt16LE(MADE_BY_UNIX | VERSION_64, 4)
    header.writeUInt16LE(isWide ? VERSION_64 : VERSION, 6)
    writeCommon(header, 8, member)
    header.writeUInt32LE(crc, 16)
    header.writeUInt32LE(isWide ? U32_MAX : storedBytes, 20)
    header.writeUInt32LE(isWide ? U32_MAX : plainBytes, 24)
    header.writeUInt16LE(member.name.length, 28)
    header.writeUInt16LE(wide.length + member.extra.length, 30)
    header.writeUInt32LE(member.attributes, 38)
    header.writeUInt32LE(isWide ? U32_MAX : member.offset, 42)
    this.#central.push(concat(header, member.name, wide, member.extra))
  }

  async finish(): Promise<void> {
    const start = this.#sink.byteCount
    for (const header of this.#central) await this.#sink.write(header)
    const count = this.#central.length
    const byteCount = this.#sink.byteCount - start
    const { bytes, entries } = this.#wideFrom
    const isWide = count >= entries || start >= bytes || byteCount >= bytes
    if (isWide) await this.#sink.write(end64(count, byteCount, start))
    const end = Buffer.alloc(22)
    end.writeUInt32LE(END_SIGNATURE, 0)
    end.writeUInt16LE(isWide ? U16_MAX : count, 8)
    end.writeUInt16LE(isWide ? U16_MAX : count, 10)
    end.writeUInt32LE(isWide ? U32_MAX : byteCount, 12)
    end.writeUInt32LE(isWide ? U32_MAX : start, 16)
    await this.#sink.write(end)
    await this.#sink.flush()
  }

  /** Without its directory nothing takes it for whole. */
  async abandon(): Promise<void> {
    await this.#sink.flush()
  }
}

const NOTHING: AsyncIterable<Uint8Array> = {
  async *[Symbol.asyncIterator]() {},
}

function writeCommon(header: Buffer, at: number, member: Member): void {
  header.writeUInt16LE(member.flags, at)
  header.writeUInt16LE(member.method, at + 2)
  header.writeUInt16LE(member.time, at + 4)
  header.writeUInt16LE(member.date, at + 6)
}

function end64(count: number, byteCount: number, start: number): Buffer {
  const end = Buffer.alloc(56 + 20)
  end.writeUInt32LE(END64_SIGNATURE, 0)
  end.writeBigUInt64LE(44n, 4)
  end.writeUInt16LE(MADE_BY_UNIX | VERSION_64, 12)
  end.writeUInt16LE(VERSION_64, 14)
  end.writeBigUInt64LE(BigInt(count), 24)
  end.writeBigUInt64LE(BigInt(count), 32)
  end.writeBigUInt64LE(BigInt(byteCount), 40)
  end.writeBigUInt64LE(BigInt(start), 48)
  end.writeUInt32LE(LOCATOR64_SIGNATURE, 56)
  end.writeBigUInt64LE(BigInt(start + byteCount), 64)
  end.writeUInt32LE(1, 72)
  return end
}

/** Also when it was closed because nobody takes what comes out. */
function drained(deflater: DeflateRaw): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      deflater.off('drain', done)
      deflater.off('close', done)
      resolve()
    }
    deflater.on('drain', done)
    deflater.on('close', done)
  })
}

function requireSize(found: number, size: number): void {
  if (found === size) return
  throw new CairnError('CAIRN_CORRUPT', `it does not have the ${size} bytes that it says`)
}

async function gather(content: AsyncIterable<Uint8Array>, size: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  let byteCount = 0
  for await (const bytes of content) {
    byteCount += bytes.length
    if (byteCount > size) break
    parts.push(bytes)
  }
  requireSize(byteCount, size)
  return parts.length === 1 && parts[0] !== undefined ? parts[0] : concat(...parts)
}
