/** Whether two entries of the same name say the same. */

import { equalBytes } from '../../base/bytes.ts'
import type { NodeRoot, Time, TreeEntry } from '../../format/tree.ts'

const NOTHING = new Uint8Array()

function isSameTime(a: Time | undefined, b: Time | undefined): boolean {
  return a?.seconds === b?.seconds && a?.nanoseconds === b?.nanoseconds
}

function isSameBytes(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  return a === undefined || b === undefined ? a === b : equalBytes(a, b)
}

export function isSameRoot(a: NodeRoot | undefined, b: NodeRoot | undefined): boolean {
  return a?.height === b?.height && isSameBytes(a?.id, b?.id)
}

/** By the ids of their chunks. */
export function hasSameContent(a: TreeEntry, b: TreeEntry): boolean {
  const isSame = equalBytes(a.content ?? NOTHING, b.content ?? NOTHING)
  return isSame && isSameRoot(a.contentList, b.contentList)
}

function hasSameXattrs(a: TreeEntry, b: TreeEntry): boolean {
  const [left, right] = [a.xattrs ?? [], b.xattrs ?? []]
  return (
    isSameBytes(a.xattrsId, b.xattrsId) &&
    left.length === right.length &&
    left.every(([name, value], at) => {
      const [otherName, otherValue] = right[at] ?? []
      return isSameBytes(name, otherName) && isSameBytes(value, otherValue)
    })
  )
}

/** Whether two entries are the same symlink, FIFO, socket or device, but for metadata that changes. */
export function isSameSpecial(a: TreeEntry, b: TreeEntry): boolean {
  return (
    a.type === b.type &&
    isSameBytes(a.target, b.target) &&
    a.device?.major === b.device?.major &&
    a.device?.minor === b.device?.minor
  )
}

/** All but the name and what is in a file or directory. */
export function hasSameMetadata(a: TreeEntry, b: TreeEntry): boolean {
  return (
    isSameSpecial(a, b) &&
    a.mode === b.mode &&
    a.uid === b.uid &&
    a.gid === b.gid &&
    isSameTime(a.mtime, b.mtime) &&
    isSameTime(a.atime, b.atime) &&
    isSameTime(a.birthtime, b.birthtime) &&
    (a.flags ?? 0) === (b.flags ?? 0) &&
    hasSameXattrs(a, b)
  )
}
