/** `ls`, also of use to `find`. */

import { shortId } from '../../base/ids.ts'
import {
  formatBytes,
  formatMode,
  formatRfc3339Ns,
  formatTime,
  goFileMode,
} from '../../base/units.ts'
import type { ShownEntry } from '../../service/list-tree.ts'
import type { ShownSnapshot } from '../../service/snapshots.ts'
import type { JsonValue } from './json-lines.ts'
import { printable } from './printable.ts'
import { snapshotJson } from './snapshots-text.ts'

/** What cairn does not keep in trees (ctime, inode, links) is absent. */
type ShownNode = Omit<ShownEntry, 'rawPath'>

export function nodeJson(node: ShownNode, offsetMinutes?: number): JsonValue {
  return {
    name: node.name,
    type: node.type,
    path: node.path,
    uid: node.uid,
    gid: node.gid,
    size: node.type === 'file' ? (node.size ?? 0) : undefined,
    mode: goFileMode(node.type, node.mode) || undefined,
    permissions: formatMode(node.type, node.mode),
    mtime: formatRfc3339Ns(node.mtime, offsetMinutes),
    atime: node.atime === undefined ? undefined : formatRfc3339Ns(node.atime, offsetMinutes),
    message_type: 'node',
    struct_type: 'node',
  }
}

/** The first line of `ls --json`. */
export function lsSnapshotJson(snapshot: ShownSnapshot, offsetMinutes?: number): JsonValue {
  const fields = snapshotJson(snapshot, offsetMinutes) as Readonly<Record<string, JsonValue>>
  return { ...fields, message_type: 'snapshot', struct_type: 'snapshot' }
}

/** The heading of `ls`; `distance` says how far the snapshot is from a time that was asked for. */
export function lsHeading(
  snapshot: ShownSnapshot,
  directories: readonly string[],
  distance?: string,
): string {
  const { id, paths, time, username, hostname } = snapshot
  const names = (values: readonly string[]) => `[${values.map(printable).join(' ')}]`
  const who = printable(`${username}@${hostname}`)
  const far = distance === undefined ? '' : `, ${distance}`
  const what = `snapshot ${shortId(id)} of ${names(paths)} at ${formatTime(time)} by ${who}${far}`
  return `${what} filtered by ${names(directories)}:`
}

export interface LsLineOptions {
  readonly isLong?: boolean
  readonly isHumanReadable?: boolean
}

/** A path, or mode, owner, size, time and path. */
export function lsLine(node: ShownNode, { isLong, isHumanReadable }: LsLineOptions = {}): string {
  const path = printable(node.path)
  if (!isLong) return path
  const byteCount = node.size ?? 0
  const target = node.type === 'symlink' ? ` -> ${printable(node.linktarget ?? '')}` : ''
  return [
    formatMode(node.type, node.mode),
    String(node.uid).padStart(5),
    String(node.gid).padStart(5),
    isHumanReadable ? formatBytes(byteCount) : String(byteCount).padStart(6),
    formatTime(node.mtime),
    path + target,
  ].join(' ')
}

const NCDU_BLOCK_BYTES = 512

/** One entry of `ls --ncdu`. */
export function ncduNodeJson(node: ShownNode): JsonValue {
  const byteCount = node.size ?? 0
  const seconds = node.mtime / 1_000_000_000n
  return {
    name: node.name,
    asize: byteCount,
    dsize: Math.ceil(byteCount / NCDU_BLOCK_BYTES) * NCDU_BLOCK_BYTES,
    dev: 0,
    ino: 0,
    nlink: 1,
    notreg: node.type !== 'dir' && node.type !== 'file',
    uid: node.uid,
    gid: node.gid,
    mode: node.mode,
    // ncdu allows no negative times.
    mtime: seconds < 0n ? 0n : seconds,
  }
}
