/**
 * Objects of a repository as `cat` shows them: everything but keys. Nothing here ever gives what
 * seals, opens, signs or derives.
 */

import { byteString, textOf, toHex } from '../base/bytes.ts'
import type { FileName } from '../base/ids.ts'
import { formatRfc3339Ns } from '../base/units.ts'
import { BLOB_TYPE } from '../format/constants.ts'
import type { IndexedPack } from '../format/index-file.ts'
import { type SessionBeat, SESSION_ROLE } from '../format/session.ts'
import type { Slot } from '../format/slot.ts'
import {
  type NodeRoot,
  referenceCount,
  referenceId,
  referenceLength,
  type TreeEntry,
} from '../format/tree.ts'
import type { Repository } from '../repository/repository.ts'
import { nanosecondsOf, rfc3339Seconds } from '../repository/time.ts'
import { shownEntry } from './list-tree.ts'

export type ShownValue =
  | string
  | number
  | boolean
  | undefined
  | readonly ShownValue[]
  | { readonly [name: string]: ShownValue }

const AEAD_NAMES: Readonly<Record<number, string>> = { 1: 'chacha20-poly1305', 2: 'aes-256-gcm' }
const COMPRESSION_NAMES: Readonly<Record<number, string>> = { 0: 'none', 1: 'zstd' }

function nameIn(names: Readonly<Record<string, number>>, number: number): string {
  return Object.keys(names).find((name) => names[name] === number) ?? String(number)
}

export function configValue({ unlocked, box, id }: Repository): ShownValue {
  const { config } = unlocked
  return {
    version: 1,
    id,
    file: unlocked.configName,
    revision: config.revision,
    created: config.created,
    features: { ...config.features },
    epochs: config.epochs.map(({ epoch }) => epoch),
    id_epoch: config.idEpoch,
    keys: config.slots,
    chunker: {
      algorithm: box.chunker.algorithm,
      min_bytes: box.chunker.minBytes,
      average_bytes: box.chunker.averageBytes,
      max_bytes: box.chunker.maxBytes,
    },
    data_pack_bytes: box.dataPackBytes,
    metadata_pack_bytes: box.metadataPackBytes,
    cipher: AEAD_NAMES[box.aead] ?? box.aead,
    padding: box.padding,
    grace_seconds: box.graceSeconds,
    authors: box.authors.map(({ id: author, role, label, since }) => ({
      id: toHex(author),
      role,
      label,
      since: rfc3339Seconds(BigInt(since) * 1_000_000_000n),
    })),
  }
}

export function keyValue({ unlocked }: Repository, name: FileName, slot: Slot): ShownValue {
  const { salt: _salt, n: kdf, ...cost } = slot.kdf
  return {
    id: name,
    current: name === unlocked.slotName,
    listed: unlocked.config.slots.includes(name),
    role: slot.role,
    created: slot.created,
    kdf,
    ...cost,
  }
}

export function sessionValue(beat: SessionBeat, author: Uint8Array, isAlive: boolean): ShownValue {
  return {
    time: rfc3339Seconds(nanosecondsOf(beat.time)),
    // There are no locks: a session keeps nobody out.
    exclusive: false,
    hostname: beat.hostname,
    pid: beat.pid,
    start: rfc3339Seconds(nanosecondsOf(beat.start)),
    role: nameIn(SESSION_ROLE, beat.role),
    beat: beat.beat,
    session: toHex(beat.sessionId),
    author: toHex(author),
    alive: isAlive,
  }
}

export function packValue(pack: IndexedPack): ShownValue {
  const { directory } = pack
  const segments = Array.from({ length: directory.segmentCount }, (_, at) => {
    const { offset, storedBytes, plainBytes, compression } = directory.segment(at)
    const name = COMPRESSION_NAMES[compression] ?? compression
    return { offset, stored: storedBytes, length: plainBytes, compression: name }
  })
  const blobs: ShownValue[] = []
  directory.forEach((at, segment, offset) => {
    const type = nameIn(BLOB_TYPE, directory.type(at))
    blobs.push({ id: toHex(directory.id(at)), type, segment, offset, length: directory.length(at) })
  })
  const { name: id, byteCount, verified, author } = pack
  return { id, size: byteCount, verified, author: toHex(author), segments, blobs }
}

export function treeRow(entry: TreeEntry): ShownValue {
  const { content, contentList, subtree, device, linkGroup, xattrs, xattrsId } = entry
  const { rawPath: _raw, path: _path, mtime, atime, ...shown } = shownEntry(entry, entry.name)
  const parts = content ?? new Uint8Array()
  return {
    ...shown,
    mtime: formatRfc3339Ns(mtime),
    atime: atime === undefined ? undefined : formatRfc3339Ns(atime),
    content:
      content === undefined
        ? undefined
        : Array.from({ length: referenceCount(parts) }, (_, at) => ({
            id: toHex(referenceId(parts, at)),
            length: referenceLength(parts, at),
          })),
    content_list: rootValue(contentList),
    subtree: rootValue(subtree),
    device: device === undefined ? undefined : { ...device },
    link_group: linkGroup?.toString(),
    extended_attributes: xattrs?.map(([name, value]) => ({
      name: textOf(byteString(name)),
      value: Buffer.from(value).toString('base64'),
    })),
    extended_attributes_id: xattrsId === undefined ? undefined : toHex(xattrsId),
  }
}

function rootValue(root: NodeRoot | undefined): ShownValue {
  return root === undefined ? undefined : { id: toHex(root.id), height: root.height }
}
