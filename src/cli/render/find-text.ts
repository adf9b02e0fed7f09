/** `find`: its headings, lines and the documents of --json. */

import { type ByteString, textOf } from '../../base/bytes.ts'
import { shortId } from '../../base/ids.ts'
import { formatRfc3339Ns, formatTime } from '../../base/units.ts'
import type { EntryOwner, FoundObject, ObjectPlace } from '../../service/find.ts'
import type { ShownEntry } from '../../service/list-tree.ts'
import type { ShownSnapshot } from '../../service/snapshots.ts'
import type { JsonValue } from './json-lines.ts'
import { nodeJson } from './ls-text.ts'
import { printableName } from './printable.ts'

type SnapshotFields = Pick<ShownSnapshot, 'id' | 'time'>

export function findHeading({ id, time }: SnapshotFields): string {
  return `Found matching entries in snapshot ${shortId(id)} from ${formatTime(time)}`
}

/** An entry of `matches`. */
export function matchJson(node: Omit<ShownEntry, 'rawPath'>, owner: EntryOwner): JsonValue {
  const fields = nodeJson(node) as Readonly<Record<string, JsonValue>>
  const { message_type: _message, struct_type: _struct, ...kept } = fields
  return { ...kept, ...owner, linktarget: node.linktarget }
}

export function objectLines(
  { type, id, parentTree }: FoundObject,
  rawPath: ByteString,
  snapshot: SnapshotFields,
): string[] {
  const path = printableName(rawPath === '' ? '/' : rawPath)
  return [
    `Found ${type} ${id}`,
    type === 'blob' ? ` ... in file ${path}` : ` ... path ${path}`,
    ...(parentTree === undefined ? [] : [`     (tree ${parentTree})`]),
    ` ... in snapshot ${shortId(snapshot.id)} (${formatTime(snapshot.time)})`,
  ]
}

export function objectJson(
  { type, id, parentTree }: FoundObject,
  rawPath: ByteString,
  snapshot: SnapshotFields,
): JsonValue {
  return {
    object_type: type,
    id,
    path: rawPath === '' ? '/' : textOf(rawPath),
    parent_tree: parentTree,
    snapshot: snapshot.id,
    time: formatRfc3339Ns(snapshot.time),
  }
}

export function placeLines({ id, pack, offset, length }: ObjectPlace): string[] {
  if (pack === undefined) return [`Object ${id} is in no pack that is there`]
  return [
    `Object ${id} belongs to pack ${pack}`,
    ` ... Pack ${shortId(pack)}: segment at ${offset}, length ${length}`,
  ]
}
