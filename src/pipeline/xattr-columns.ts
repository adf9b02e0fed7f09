/**
 * Extended attributes of many files in one buffer, as they travel to workers: per attribute
 * `u16 name bytes | name | u32 value bytes | value`, in little-endian order.
 */

import type { Xattr } from '../source/target-files.ts'

export interface XattrColumns {
  readonly bytes: Uint8Array
  /** Where those of each file end; empty if no file has any. */
  readonly ends: Uint32Array
  /** Numbers of files whose attributes stay as they are. */
  readonly kept: readonly number[]
}

/** Of each file what it is to have; undefined if that stays as it is. */
export function encodeXattrs(files: readonly (readonly Xattr[] | undefined)[]): XattrColumns {
  const kept = files.flatMap((xattrs, file) => (xattrs === undefined ? [file] : []))
  const hasAny = files.some((xattrs) => xattrs !== undefined && xattrs.length > 0)
  if (!hasAny) return { bytes: new Uint8Array(), ends: new Uint32Array(), kept }
  const parts: Uint8Array[] = []
  let length = 0
  const ends = Uint32Array.from(files, (xattrs = []) => {
    for (const [name, value] of xattrs) {
      const head = Buffer.alloc(2 + name.length + 4)
      head.writeUInt16LE(name.length, 0)
      head.write(name, 2, 'latin1')
      head.writeUInt32LE(value.length, 2 + name.length)
      parts.push(head, value)
      length += head.length + value.length
    }
    return length
  })
  const bytes = new Uint8Array(length)
  let at = 0
  for (const part of parts) {
    bytes.set(part, at)
    at += part.length
  }
  return { bytes, ends, kept }
}

const NONE: readonly Xattr[] = Object.freeze([])

export function decodeXattrs(columns: XattrColumns, file: number): readonly Xattr[] | undefined {
  if (columns.kept.length > 0 && columns.kept.includes(file)) return undefined
  const end = columns.ends[file] ?? 0
  let at = file === 0 ? 0 : (columns.ends[file - 1] ?? 0)
  if (at === end) return NONE
  const bytes = Buffer.from(columns.bytes.buffer, columns.bytes.byteOffset, columns.bytes.length)
  const xattrs: Xattr[] = []
  while (at < end) {
    const value = at + 2 + bytes.readUInt16LE(at) + 4
    const length = bytes.readUInt32LE(value - 4)
    xattrs.push([
      bytes.toString('latin1', at + 2, value - 4),
      bytes.subarray(value, value + length),
    ])
    at = value + length
  }
  return xattrs
}
