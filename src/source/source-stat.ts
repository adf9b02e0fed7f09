/** What Node and the C library say of a file, in one shape. */

import { type BigIntStats, constants } from 'node:fs'
import type { EntryType, SourceStat } from './source-files.ts'

export function sourceStat(stats: BigIntStats): SourceStat {
  const mode = Number(stats.mode)
  return {
    type: entryType(mode),
    mode: mode & 0o7777,
    uid: Number(stats.uid),
    gid: Number(stats.gid),
    size: Number(stats.size),
    mtimeNs: stats.mtimeNs,
    ctimeNs: stats.ctimeNs,
    atimeNs: stats.atimeNs,
    birthtimeNs: stats.birthtimeNs,
    dev: stats.dev,
    ino: stats.ino,
    linkCount: Number(stats.nlink),
    rdev: stats.rdev,
    blocks: Number(stats.blocks),
  }
}

/** `struct statx`, which every architecture of Linux has alike. */
export const STATX_BYTES = 256

const NS_PER_SECOND = 1_000_000_000n

/** Of the bytes that statx has filled in. */
export function sourceStatOf(view: DataView): SourceStat {
  const mode = view.getUint16(28, true)
  return {
    type: entryType(mode),
    mode: mode & 0o7777,
    uid: view.getUint32(20, true),
    gid: view.getUint32(24, true),
    size: view.getUint32(40, true) + view.getUint32(44, true) * 0x1_0000_0000,
    mtimeNs: timeNs(view, 112),
    ctimeNs: timeNs(view, 96),
    atimeNs: timeNs(view, 64),
    birthtimeNs: timeNs(view, 80),
    dev: device(view, 136),
    ino: view.getBigUint64(32, true),
    linkCount: view.getUint32(16, true),
    rdev: device(view, 128),
    blocks: view.getUint32(48, true) + view.getUint32(52, true) * 0x1_0000_0000,
  }
}

function timeNs(view: DataView, at: number): bigint {
  return view.getBigInt64(at, true) * NS_PER_SECOND + BigInt(view.getUint32(at + 8, true))
}

let lastMajor = 0
let lastMinor = 0
let lastDevice = 0n

/** As st_dev has it: 12 + 20 bits of major and minor split over the word. Nearly always the same. */
function device(view: DataView, at: number): bigint {
  const major = view.getUint32(at, true)
  const minor = view.getUint32(at + 4, true)
  if (major === 0 && minor === 0) return 0n
  if (major !== lastMajor || minor !== lastMinor) {
    const [wideMajor, wideMinor] = [BigInt(major), BigInt(minor)]
    lastDevice =
      ((wideMajor & 0xfffn) << 8n) |
      ((wideMajor & 0xffff_f000n) << 32n) |
      (wideMinor & 0xffn) |
      ((wideMinor & 0xffff_ff00n) << 12n)
    lastMajor = major
    lastMinor = minor
  }
  return lastDevice
}

function entryType(mode: number): EntryType {
  switch (mode & constants.S_IFMT) {
    case constants.S_IFREG:
      return 'file'
    case constants.S_IFDIR:
      return 'directory'
    case constants.S_IFLNK:
      return 'symlink'
    case constants.S_IFIFO:
      return 'fifo'
    case constants.S_IFSOCK:
      return 'socket'
    case constants.S_IFCHR:
      return 'chardevice'
    case constants.S_IFBLK:
      return 'blockdevice'
    default:
      return 'other'
  }
}
