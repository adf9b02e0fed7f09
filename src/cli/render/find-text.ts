/** `find`: its headings, lines and the documents of --json. */

import { type ByteString, textOf } from '../../base/bytes.ts'
import { shortId } from '../../base/ids.ts'
import { formatRfc3339Ns, formatTime } from '../../base/units.ts'
import type { JsonValue } from './json-lines.ts'
import { type NodeJson, nodeJson } from './ls-text.ts'
import { printableName } from './printable.ts'
import type { SnapshotJson } from './snapshots-text.ts'

type SnapshotFields = Pick<SnapshotJson, 'id' | 'time'>

export interface FoundObjectFields {
  readonly type: 'blob' | 'tree'
  readonly id: string
  readonly parentTree: string | undefined
}

export function findHeading({ id, time }: SnapshotFields): string {
  return `Found matching entries in snapshot ${shortId(id)} from ${formatTime(time)}`
}

/** An entry of `matches`. */
export function matchJson(
  node: NodeJson,
  owner: { readonly user: string | undefined; readonly group: string | undefined },
): JsonValue {
  const fields = nodeJson(node) as Readonly<Record<string, JsonValue>>
  const { message_type: _message, struct_type: _struct, ...kept } = fields
  return { ...kept, ...owner, linktarget: node.linktarget }
}

export function objectLines(
  { type, id, parentTree }: FoundObjectFields,
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
  { type, id, parentTree }: FoundObjectFields,
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

export interface ObjectPlaceFields {
  readonly id: string
  readonly pack: string | undefined
  readonly offset: number
  readonly length: number
}

export function placeLines({ id, pack, offset, length }: ObjectPlaceFields): string[] {
  if (pack === undefined) return [`Object ${id} is in no pack that is there`]
  return [
    `Object ${id} belongs to pack ${pack}`,
    ` ... Pack ${shortId(pack)}: segment at ${offset}, length ${length}`,
  ]
}
