/**
 * tar with POSIX.1-2001 (PAX) extended headers, as GNU tar and libarchive read it.
 *
 *   for each entry: [ header 'x', records ] header, content; each filled up to 512 bytes
 *   at the end: 1,024 zero bytes
 *
 * Of its own, and not a package: names and values of extended attributes are bytes here, which the
 * packages there are take as text only, and ids above 2,097,151 must not be clipped.
 */

import { byteString, type ByteString, bytesOf, concat } from '../base/bytes.ts'
import { assert, CairnError } from '../base/errors.ts'
import type { NodeType } from '../base/units.ts'
import { aclText } from './acl-text.ts'
import {
  type ArchiveEntry,
  type ArchiveTime,
  type ArchiveWriter,
  type ByteSink,
  GatheringSink,
} from './archive.ts'

const BLOCK_BYTES = 512
const END = Buffer.alloc(2 * BLOCK_BYTES)

const TYPE_FLAGS: Readonly<Partial<Record<NodeType, string>>> = {
  file: '0',
  symlink: '2',
  chardev: '3',
  dev: '4',
  dir: '5',
  fifo: '6',
}
const HARD_LINK_FLAG = '1'
const PAX_FLAG = 'x'

/** [offset, length] in a header. */
const FIELD = {
  name: [0, 100],
  mode: [100, 8],
  uid: [108, 8],
  gid: [116, 8],
  size: [124, 12],
  mtime: [136, 12],
  checksum: [148, 8],
  linkName: [157, 100],
  userName: [265, 32],
  groupName: [297, 32],
  deviceMajor: [329, 8],
  deviceMinor: [337, 8],
} as const
const TYPE_AT = 156
const MAGIC_AT = 257

function octalMax(length: number): number {
  return 8 ** (length - 1) - 1
}

/** In octal; where that has no room, 0, because an extended header says it. */
function writeNumber(header: Buffer, [at, length]: readonly [number, number], value: number): void {
  const fits = value >= 0 && value <= octalMax(length)
  header.write((fits ? value : 0).toString(8).padStart(length - 1, '0'), at, 'latin1')
}

/** GNU's binary form where octal has no room: extended headers have no device numbers. */
function writeDevice(header: Buffer, field: readonly [number, number], value: number): void {
  const [at] = field
  if (value <= octalMax(field[1])) return writeNumber(header, field, value)
  header[at] = 0x80
  header.writeUIntBE(value, at + 2, 6)
}

function writeText(header: Buffer, [at, length]: readonly [number, number], text: string): void {
  header.write(text.slice(0, length), at, 'latin1')
}

interface HeaderFields {
  readonly name: ByteString
  readonly flag: string
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly size: number
  readonly seconds: number
  readonly linkName?: ByteString
  readonly userName?: ByteString
  readonly groupName?: ByteString
  readonly device?: { readonly major: number; readonly minor: number } | undefined
}

function headerOf(fields: HeaderFields): Buffer {
  const header = Buffer.alloc(BLOCK_BYTES)
  writeText(header, FIELD.name, fields.name)
  writeNumber(header, FIELD.mode, fields.mode)
  writeNumber(header, FIELD.uid, fields.uid)
  writeNumber(header, FIELD.gid, fields.gid)
  writeNumber(header, FIELD.size, fields.size)
  writeNumber(header, FIELD.mtime, fields.seconds)
  header.write(fields.flag, TYPE_AT, 'latin1')
  writeText(header, FIELD.linkName, fields.linkName ?? '')
  header.write('ustar\x0000', MAGIC_AT, 'latin1')
  writeText(header, FIELD.userName, fields.userName ?? '')
  writeText(header, FIELD.groupName, fields.groupName ?? '')
  writeDevice(header, FIELD.deviceMajor, fields.device?.major ?? 0)
  writeDevice(header, FIELD.deviceMinor, fields.device?.minor ?? 0)
  const [at, length] = FIELD.checksum
  header.fill(' ', at, at + length)
  let sum = 0
  for (const byte of header) sum += byte
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, at, 'latin1')
  return header
}

const NOT_ASCII = /[^\x20-\x7e]/

function isUtf8(text: ByteString): boolean {
  return Buffer.from(bytesOf(text)).toString('utf8').includes('\ufffd') === false
}

/**
 * Whether a name goes into an extended header: if it is too long, or if it is UTF-8, which only
 * there is known as such. Other bytes are understood best as they are.
 */
function needsRecord(name: ByteString, length: number): boolean {
  return name.length > length || (NOT_ASCII.test(name) && isUtf8(name))
}

/** `-1.5`, `1700000000.123456789`. */
function timeText({ seconds, nanoseconds }: ArchiveTime): string {
  if (nanoseconds === 0) return String(seconds)
  const isNegative = seconds < 0
  const whole = isNegative ? -seconds - 1 : seconds
  const fraction = isNegative ? 1_000_000_000 - nanoseconds : nanoseconds
  const digits = String(fraction).padStart(9, '0').replace(/0+$/, '')
  return `${isNegative ? '-' : ''}${whole}.${digits}`
}

/** `<length> <key>=<value>\n`; the length counts itself. */
function record(key: ByteString, value: Uint8Array): Uint8Array {
  const rest = key.length + value.length + 3
  let length = rest + String(rest).length
  if (String(length).length > String(rest).length) length++
  return concat(Buffer.from(`${length} ${key}=`, 'latin1'), value, Buffer.from('\n'))
}

const ACL_KEYS: Readonly<Record<string, string>> = {
  'system.posix_acl_access': 'SCHILY.acl.access',
  'system.posix_acl_default': 'SCHILY.acl.default',
}

function xattrRecord(nameBytes: Uint8Array, value: Uint8Array): Uint8Array {
  const name = byteString(nameBytes)
  const aclKey = ACL_KEYS[name]
  const acl = aclKey === undefined ? undefined : aclText(value)
  if (aclKey !== undefined && acl !== undefined) return record(aclKey, Buffer.from(acl))
  // A key ends at the first '='; GNU tar takes these back.
  const key = name.replaceAll('%', '%25').replaceAll('=', '%3D')
  return record(`SCHILY.xattr.${key}`, value)
}

/** What a header has no room for. */
function extendedRecords(entry: ArchiveEntry, fields: HeaderFields): Uint8Array[] {
  const records: Uint8Array[] = []
  const add = (key: string, value: string | Uint8Array) =>
    records.push(record(key, typeof value === 'string' ? Buffer.from(value) : value))
  const { mtime, atime, userName, groupName } = entry
  if (needsRecord(fields.name, FIELD.name[1])) add('path', bytesOf(fields.name))
  const link = fields.linkName ?? ''
  if (needsRecord(link, FIELD.linkName[1])) add('linkpath', bytesOf(link))
  if (fields.uid > octalMax(FIELD.uid[1])) add('uid', String(fields.uid))
  if (fields.gid > octalMax(FIELD.gid[1])) add('gid', String(fields.gid))
  if (fields.size > octalMax(FIELD.size[1])) add('size', String(fields.size))
  const isWhole = mtime.nanoseconds === 0 && mtime.seconds >= 0
  if (!isWhole || mtime.seconds > octalMax(FIELD.mtime[1])) add('mtime', timeText(mtime))
  if (atime !== undefined) add('atime', timeText(atime))
  const needsName = (name: string | undefined): name is string =>
    name !== undefined && (name.length >= FIELD.userName[1] || NOT_ASCII.test(name))
  if (needsName(userName)) add('uname', userName)
  if (needsName(groupName)) add('gname', groupName)
  for (const [name, value] of entry.xattrs ?? []) records.push(xattrRecord(name, value))
  return records
}

function fieldsOf(entry: ArchiveEntry): HeaderFields {
  const { type, hardLinkTo, target, userName, groupName } = entry
  const flag = hardLinkTo === undefined ? TYPE_FLAGS[type] : HARD_LINK_FLAG
  assert(flag !== undefined, `a ${type} can be in a tar archive`)
  const isAscii = (name: string | undefined) => name !== undefined && !NOT_ASCII.test(name)
  return {
    name: type === 'dir' ? `${entry.path}/` : entry.path,
    flag,
    mode: entry.mode,
    uid: entry.uid,
    gid: entry.gid,
    size: type === 'file' && hardLinkTo === undefined ? entry.size : 0,
    seconds: entry.mtime.seconds,
    linkName: hardLinkTo ?? (target === undefined ? '' : byteString(target)),
    userName: isAscii(userName) ? (userName ?? '') : '',
    groupName: isAscii(groupName) ? (groupName ?? '') : '',
    device: hardLinkTo === undefined ? entry.device : undefined,
  }
}

export class TarWriter implements ArchiveWriter {
  readonly holdsHardLinks = true
  readonly #sink: GatheringSink
  /** Whatever followed now would be taken for the rest of a file. */
  #isCutInContent = false

  constructor(sink: ByteSink) {
    this.#sink = new GatheringSink(sink)
  }

  holds(type: NodeType): boolean {
    return TYPE_FLAGS[type] !== undefined
  }

  async add(entry: ArchiveEntry, content?: AsyncIterable<Uint8Array>): Promise<void> {
    const fields = fieldsOf(entry)
    const records = extendedRecords(entry, fields)
    if (records.length > 0) await this.#writeExtended(fields, concat(...records))
    await this.#sink.write(headerOf(fields))
    if (fields.size > 0) await this.#writeContent(fields.size, content)
  }

  async #writeExtended(fields: HeaderFields, records: Uint8Array): Promise<void> {
    const name = `PaxHeaders/${fields.name.replace(/\/$/, '').split('/').at(-1) ?? ''}`
    const { uid, gid, seconds } = fields
    const size = records.length
    const header = headerOf({ name, flag: PAX_FLAG, mode: 0o644, uid, gid, size, seconds })
    await this.#sink.write(header)
    await this.#sink.write(records)
    await this.#fill(size)
  }

  async #writeContent(size: number, content: AsyncIterable<Uint8Array> | undefined): Promise<void> {
    let written = 0
    try {
      for await (const bytes of content ?? []) {
        written += bytes.length
        if (written > size) break
        await this.#sink.write(bytes)
      }
      if (written !== size) {
        throw new CairnError('CAIRN_CORRUPT', `it does not have the ${size} bytes that it says`)
      }
    } catch (error) {
      this.#isCutInContent = true
      await this.#sink.flush()
      throw error
    }
    await this.#fill(size)
  }

  async #fill(size: number): Promise<void> {
    const rest = size % BLOCK_BYTES
    if (rest > 0) await this.#sink.write(END.subarray(0, BLOCK_BYTES - rest))
  }

  async finish(): Promise<void> {
    await this.#sink.write(END)
    await this.#sink.flush()
  }

  /** Between entries a missing end would pass for one: a promise that is not kept does not. */
  async abandon(): Promise<void> {
    if (!this.#isCutInContent) {
      const fields = { mode: 0o644, uid: 0, gid: 0, seconds: 0, size: BLOCK_BYTES }
      await this.#sink.write(headerOf({ ...fields, name: 'PaxHeaders/cut-off', flag: PAX_FLAG }))
    }
    await this.#sink.flush()
  }
}
