/** From what the file system says to an entry of a tree (FORMAT.md 12). */

import type { ByteString } from '../../base/bytes.ts'
import { ENTRY_TYPE, type EntryTypeNumber, type Time, type TreeEntry } from '../../format/tree.ts'
import { timeOf } from '../../repository/time.ts'
import type { ExtendedMetadata } from '../../source/extended-metadata.ts'
import type { EntryType, SourceStat } from '../../source/source-files.ts'

const TYPE_NUMBERS: Record<Exclude<EntryType, 'other'>, EntryTypeNumber> = {
  file: ENTRY_TYPE.file,
  directory: ENTRY_TYPE.directory,
  symlink: ENTRY_TYPE.symlink,
  fifo: ENTRY_TYPE.fifo,
  socket: ENTRY_TYPE.socket,
  chardevice: ENTRY_TYPE.chardevice,
  blockdevice: ENTRY_TYPE.blockdevice,
}

/** What only some entries have. */
export type EntryExtras = Pick<
  TreeEntry,
  | 'size'
  | 'content'
  | 'contentList'
  | 'target'
  | 'subtree'
  | 'linkGroup'
  | 'changedWhileRead'
  | 'xattrs'
  | 'xattrsId'
  | 'flags'
>

/** Linux' encoding of device numbers, 12 + 20 bits split over the word. */
function deviceOf(rdev: bigint): { major: number; minor: number } {
  const major = ((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & 0xfffff000n)
  const minor = (rdev & 0xffn) | ((rdev >> 12n) & 0xffffff00n)
  return { major: Number(major), minor: Number(minor) }
}

/** The fields for extended metadata that is there. */
export function extendedExtras({
  xattrs,
  flags,
}: Pick<ExtendedMetadata, 'xattrs' | 'flags'>): Pick<EntryExtras, 'xattrs' | 'flags'> {
  return { ...(xattrs.length === 0 ? {} : { xattrs }), ...(flags === 0 ? {} : { flags }) }
}

export interface EntryOptions {
  readonly withAtime: boolean
}

/** `stat.type` is not 'other': such things are reported and left out. */
export function entryOf(
  name: ByteString,
  stat: SourceStat,
  extras: Partial<EntryExtras>,
  options: EntryOptions,
): TreeEntry {
  const isDevice = stat.type === 'chardevice' || stat.type === 'blockdevice'
  const atime: { atime?: Time } = options.withAtime ? { atime: timeOf(stat.atimeNs) } : {}
  return {
    name,
    type: stat.type === 'other' ? ENTRY_TYPE.file : TYPE_NUMBERS[stat.type],
    mode: stat.mode,
    uid: stat.uid,
    gid: stat.gid,
    mtime: timeOf(stat.mtimeNs),
    size: 0,
    ...(isDevice ? { device: deviceOf(stat.rdev) } : {}),
    ...atime,
    ...extras,
  }
}
