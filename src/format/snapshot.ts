/** The body of a snapshot (FORMAT.md 14): an envelope every key slot can read, and a sealed part. */

import type { ByteString } from '../base/bytes.ts'
import { ID_BYTES } from '../base/ids.ts'
import { CborReader, CborWriter } from './cbor.ts'
import { readTime, writeTime } from './cbor-time.ts'
import { LIMIT } from './constants.ts'
import { failOnCriticalKey } from './critical-key.ts'
import type { NodeRoot, Time } from './tree.ts'

const AUTHOR_BYTES = 8
const SESSION_BYTES = 16
const SEALED_HEAD_BYTES = 64
export const SERIES_BYTES = 16

export interface SnapshotHead {
  readonly sequence: number
  readonly id: Uint8Array
}

export interface SnapshotEnvelope {
  readonly sequence: number
  /** Ids of this author's heads that were seen. */
  readonly previous: readonly Uint8Array[]
  readonly time: Time
  /** Heads of other authors: 8-byte author id, heads. */
  readonly heads: readonly (readonly [author: Uint8Array, heads: readonly SnapshotHead[]])[]
  readonly tombstones: readonly Uint8Array[]
  /** A checkpoint of a run that was not done. */
  readonly partial: boolean
  /** Ephemeral public key, salt, ciphertext. */
  readonly sealed: Uint8Array
  readonly sessionId: Uint8Array
  readonly epoch: number
  /** Equal for snapshots of the same host and paths; empty where it is not told. */
  readonly series: Uint8Array
}

/** FORMAT.md 14, "Statistics": the numbers are the keys. */
export const STATISTIC_KEYS = [
  'filesNew',
  'filesChanged',
  'filesUnmodified',
  'directoriesNew',
  'directoriesChanged',
  'directoriesUnmodified',
  'dataBlobs',
  'treeBlobs',
  'bytesAdded',
  'bytesAddedStored',
  'filesProcessed',
  'bytesProcessed',
  'errors',
] as const
export type SnapshotStatistics = Record<(typeof STATISTIC_KEYS)[number], number>

export interface SnapshotContent {
  readonly root: NodeRoot
  readonly paths: readonly ByteString[]
  readonly hostname: string
  readonly username: string
  readonly tags: readonly string[]
  readonly parent?: Uint8Array
  readonly start: Time
  readonly end: Time
  readonly program: string
  readonly excludes: readonly string[]
  readonly statistics: SnapshotStatistics
  readonly userNames: ReadonlyMap<number, string>
  readonly groupNames: ReadonlyMap<number, string>
  readonly uid: number
  readonly gid: number
  readonly system: readonly [os: string, architecture: string]
  /** The snapshot of another repository that this is a copy of. */
  readonly importedFrom?: ImportedFrom
  /** Of what was re-tagged, rewritten or copied: keeps its retention group. */
  readonly original?: { readonly id: Uint8Array; readonly author: Uint8Array }
}

export interface ImportedFrom {
  readonly tool: string
  /** As the tool names it: for cairn the 32 hex digits of the repository. */
  readonly repository: string
  /** For cairn the 64 hex digits of the snapshot. */
  readonly id: string
}

function writeList<T>(out: CborWriter, items: readonly T[], write: (item: T) => void): void {
  out.array(items.length)
  for (const item of items) write(item)
}

function readList<T>(reader: CborReader, read: () => T): T[] {
  return Array.from({ length: reader.array() }, read)
}

export function encodeEnvelope(envelope: SnapshotEnvelope): Uint8Array {
  const out = new CborWriter(512 + envelope.sealed.length)
  out.map(9 + Number(envelope.partial) + Number(envelope.series.length > 0))
  out.integer(0)
  out.integer(1)
  out.integer(1)
  out.integer(envelope.sequence)
  out.integer(2)
  writeList(out, envelope.previous, (id) => out.bytes(id))
  out.integer(3)
  writeTime(out, envelope.time)
  out.integer(4)
  const heads = [...envelope.heads].sort(([a], [b]) => Buffer.compare(a, b))
  out.map(heads.length)
  for (const [author, list] of heads) {
    out.bytes(author)
    writeList(out, list, (head) => {
      out.array(2)
      out.integer(head.sequence)
      out.bytes(head.id)
    })
  }
  out.integer(5)
  writeList(out, envelope.tombstones, (id) => out.bytes(id))
  if (envelope.partial) {
    out.integer(6)
    out.integer(1)
  }
  out.integer(7)
  out.bytes(envelope.sealed)
  out.integer(8)
  out.bytes(envelope.sessionId)
  out.integer(9)
  out.integer(envelope.epoch)
  if (envelope.series.length > 0) {
    out.integer(10)
    out.bytes(envelope.series)
  }
  return out.finish()
}

export function decodeEnvelope(body: Uint8Array): SnapshotEnvelope {
  const reader = new CborReader(body, 'snapshot')
  let version = 0
  const envelope: { -readonly [K in keyof SnapshotEnvelope]: SnapshotEnvelope[K] } = {
    sequence: 0,
    previous: [],
    time: { seconds: 0, nanoseconds: 0 },
    heads: [],
    tombstones: [],
    partial: false,
    sealed: new Uint8Array(),
    sessionId: new Uint8Array(SESSION_BYTES),
    epoch: 0,
    series: new Uint8Array(),
  }
  const readId = () => reader.bytes(ID_BYTES, ID_BYTES)
  reader.map((key) => {
    if (key === 0) version = reader.unsigned()
    else if (key === 1) envelope.sequence = reader.unsigned()
    else if (key === 2) envelope.previous = readList(reader, readId)
    else if (key === 3) envelope.time = readTime(reader)
    else if (key === 4) envelope.heads = readHeads(reader)
    else if (key === 5) envelope.tombstones = readList(reader, readId)
    else if (key === 6) envelope.partial = reader.unsigned() === 1
    else if (key === 7) envelope.sealed = reader.bytes()
    else if (key === 8) envelope.sessionId = reader.bytes(SESSION_BYTES, SESSION_BYTES)
    else if (key === 9) envelope.epoch = reader.unsigned()
    else if (key === 10) envelope.series = reader.bytes(SERIES_BYTES, SERIES_BYTES)
    else if (key < 0) failOnCriticalKey(reader)
    else reader.skip()
  })
  reader.end()
  if (version !== 1) reader.fail(`unknown version ${version}`)
  if (envelope.sealed.length < SEALED_HEAD_BYTES) reader.fail('its sealed part is missing')
  return envelope
}

function readHeads(reader: CborReader): SnapshotEnvelope['heads'] {
  const heads: (readonly [Uint8Array, SnapshotHead[]])[] = []
  reader.bytesMap((author) => {
    if (author.length !== AUTHOR_BYTES) reader.fail('an author id has 8 bytes')
    const list = readList(reader, () => {
      reader.array(2)
      return { sequence: reader.unsigned(), id: reader.bytes(ID_BYTES, ID_BYTES) }
    })
    heads.push([author, list])
  })
  return heads
}

function writeNames(out: CborWriter, names: ReadonlyMap<number, string>): void {
  const sorted = [...names].sort(([a], [b]) => a - b)
  out.map(sorted.length)
  for (const [id, name] of sorted) {
    out.integer(id)
    out.text(name)
  }
}

function readNames(reader: CborReader): Map<number, string> {
  const names = new Map<number, string>()
  reader.map((id) => names.set(id, reader.text()))
  return names
}

export function encodeSnapshotContent(content: SnapshotContent): Uint8Array {
  const out = new CborWriter(1024)
  let count = 15
  if (content.parent !== undefined) count++
  if (content.importedFrom !== undefined) count++
  if (content.original !== undefined) count++
  out.map(count)
  out.integer(0)
  out.bytes(content.root.id)
  out.integer(1)
  out.integer(content.root.height)
  out.integer(2)
  writeList(out, content.paths, (path) => out.byteString(path))
  out.integer(3)
  out.text(content.hostname)
  out.integer(4)
  out.text(content.username)
  out.integer(5)
  writeList(out, content.tags, (tag) => out.text(tag))
  if (content.parent !== undefined) {
    out.integer(6)
    out.bytes(content.parent)
  }
  out.integer(7)
  writeTime(out, content.start)
  out.integer(8)
  writeTime(out, content.end)
  out.integer(9)
  out.text(content.program)
  out.integer(10)
  writeList(out, content.excludes, (pattern) => out.text(pattern))
  out.integer(11)
  out.map(STATISTIC_KEYS.length)
  for (const [key, name] of STATISTIC_KEYS.entries()) {
    out.integer(key)
    out.integer(content.statistics[name])
  }
  writeContentTail(out, content)
  return out.finish()
}

function writeContentTail(out: CborWriter, content: SnapshotContent): void {
  out.integer(12)
  writeNames(out, content.userNames)
  out.integer(13)
  writeNames(out, content.groupNames)
  out.integer(14)
  out.array(2)
  out.integer(content.uid)
  out.integer(content.gid)
  out.integer(15)
  writeList(out, content.system, (text) => out.text(text))
  if (content.importedFrom !== undefined) {
    const { tool, repository, id } = content.importedFrom
    out.integer(17)
    writeList(out, [tool, repository, id], (text) => out.text(text))
  }
  if (content.original !== undefined) {
    out.integer(18)
    out.array(2)
    out.bytes(content.original.id)
    out.bytes(content.original.author)
  }
}

export function decodeSnapshotContent(bytes: Uint8Array): SnapshotContent {
  const reader = new CborReader(bytes, 'snapshot content')
  let id: Uint8Array | undefined
  let height = 0
  const statistics = Object.fromEntries(STATISTIC_KEYS.map((name) => [name, 0]))
  const draft: { -readonly [K in keyof SnapshotContent]?: SnapshotContent[K] } = {}
  reader.map((key) => {
    if (key === 0) id = reader.bytes(ID_BYTES, ID_BYTES)
    else if (key === 1) height = reader.unsigned(LIMIT.treeHeightMax)
    else if (key === 2) draft.paths = readList(reader, () => reader.byteString())
    else if (key === 3) draft.hostname = reader.text()
    else if (key === 4) draft.username = reader.text()
    else if (key === 5) draft.tags = readList(reader, () => reader.text())
    else if (key === 6) draft.parent = reader.bytes(ID_BYTES, ID_BYTES)
    else if (key === 7) draft.start = readTime(reader)
    else if (key === 8) draft.end = readTime(reader)
    else if (key === 9) draft.program = reader.text()
    else if (key === 10) draft.excludes = readList(reader, () => reader.text())
    else if (key === 11) {
      reader.map((statistic) => {
        const name = STATISTIC_KEYS[statistic]
        if (name === undefined) reader.skip()
        else statistics[name] = reader.unsigned()
      })
    } else if (key === 12) draft.userNames = readNames(reader)
    else if (key === 13) draft.groupNames = readNames(reader)
    else if (key === 14) {
      reader.array(2)
      draft.uid = reader.unsigned()
      draft.gid = reader.unsigned()
    } else if (key === 15) {
      reader.array(2)
      draft.system = [reader.text(), reader.text()]
    } else if (key === 17) {
      reader.array(3)
      draft.importedFrom = { tool: reader.text(), repository: reader.text(), id: reader.text() }
    } else if (key === 18) {
      reader.array(2)
      draft.original = { id: reader.bytes(ID_BYTES, ID_BYTES), author: reader.bytes(8, 8) }
    } else if (key < 0) failOnCriticalKey(reader)
    else reader.skip()
  })
  reader.end()
  if (id === undefined) return reader.fail('it has no root')
  const epoch = { seconds: 0, nanoseconds: 0 }
  return {
    paths: [],
    hostname: '',
    username: '',
    tags: [],
    start: epoch,
    end: epoch,
    program: '',
    excludes: [],
    userNames: new Map(),
    groupNames: new Map(),
    uid: 0,
    gid: 0,
    system: ['', ''],
    ...draft,
    statistics: statistics as SnapshotStatistics,
    root: { id, height },
  }
}
