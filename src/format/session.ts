/** Session beats, marks and tombstones (FORMAT.md 15 and 16): small CBOR maps. */

import { concat } from '../base/bytes.ts'
import { type FileName, fileNameOf, ID_BYTES, idBytes } from '../base/ids.ts'
import { CborReader, CborWriter } from './cbor.ts'
import { readTime, writeTime } from './cbor-time.ts'
import { failOnCriticalKey } from './critical-key.ts'
import type { Time } from './tree.ts'

const SESSION_ID_BYTES = 16
const AUTHOR_ID_BYTES = 8

export const SESSION_ROLE = { writer: 0, pruner: 1 } as const
export const MARK_PHASE = { mark: 0, sweep: 1 } as const

export interface SessionBeat {
  readonly sessionId: Uint8Array
  readonly beat: number
  readonly time: Time
  readonly start: Time
  readonly hostname: string
  readonly pid: number
  readonly bootId: string
  readonly role: number
}

export interface Mark {
  readonly phase: number
  readonly time: Time
  readonly packs: readonly FileName[]
  readonly sessionId: Uint8Array
}

export interface Forgotten {
  readonly snapshot: Uint8Array
  /** The snapshot written in its place, or empty. */
  readonly replacement: Uint8Array
  /** The body of the snapshot, so that it can be written again; may be empty. */
  readonly body: Uint8Array
  /** The author of the snapshot, 8 bytes; empty without a body. */
  readonly author: Uint8Array
  /** The AEAD of the body's sealed part; 0 without a body. */
  readonly aead: number
}

export interface Tombstone {
  readonly forgotten: readonly Forgotten[]
  readonly time: Time
  /** Logical ids of the tombstones that were there when this was written. */
  readonly known: readonly Uint8Array[]
  /** Logical ids of the tombstones that this one takes the place of. */
  readonly merged: readonly Uint8Array[]
}

function writeTimeAt(out: CborWriter, key: number, time: Time): void {
  out.integer(key)
  writeTime(out, time)
}

function writeHead(out: CborWriter, fieldCount: number): void {
  out.map(fieldCount)
  out.integer(0)
  out.integer(1)
}

/** Reads the fields of a version 1 map; unknown keys of 0 and up are passed over. */
function readFields(
  body: Uint8Array,
  what: string,
  field: (reader: CborReader, key: number) => boolean,
) {
  const reader = new CborReader(body, what)
  let version = 0
  reader.map((key) => {
    if (key === 0) version = reader.unsigned()
    else if (field(reader, key)) return
    else if (key < 0) failOnCriticalKey(reader)
    else reader.skip()
  })
  reader.end()
  if (version !== 1) reader.fail(`unknown version ${version}`)
}

export function encodeBeat(beat: SessionBeat): Uint8Array {
  const out = new CborWriter()
  writeHead(out, 9)
  out.integer(1)
  out.bytes(beat.sessionId)
  out.integer(2)
  out.integer(beat.beat)
  writeTimeAt(out, 3, beat.time)
  writeTimeAt(out, 4, beat.start)
  out.integer(5)
  out.text(beat.hostname)
  out.integer(6)
  out.integer(beat.pid)
  out.integer(7)
  out.text(beat.bootId)
  out.integer(8)
  out.integer(beat.role)
  return out.finish()
}

export function decodeBeat(body: Uint8Array): SessionBeat {
  const zero = { seconds: 0, nanoseconds: 0 }
  const draft: { -readonly [K in keyof SessionBeat]: SessionBeat[K] } = {
    sessionId: new Uint8Array(SESSION_ID_BYTES),
    beat: 0,
    time: zero,
    start: zero,
    hostname: '',
    pid: 0,
    bootId: '',
    role: 0,
  }
  readFields(body, 'session beat', (reader, key) => {
    if (key === 1) draft.sessionId = reader.bytes(SESSION_ID_BYTES, SESSION_ID_BYTES)
    else if (key === 2) draft.beat = reader.unsigned()
    else if (key === 3) draft.time = readTime(reader)
    else if (key === 4) draft.start = readTime(reader)
    else if (key === 5) draft.hostname = reader.text()
    else if (key === 6) draft.pid = reader.unsigned()
    else if (key === 7) draft.bootId = reader.text()
    else if (key === 8) draft.role = reader.unsigned()
    else return false
    return true
  })
  return draft
}

export function encodeMark(mark: Mark): Uint8Array {
  const out = new CborWriter(256 + mark.packs.length * ID_BYTES)
  writeHead(out, 5)
  out.integer(1)
  out.integer(mark.phase)
  writeTimeAt(out, 2, mark.time)
  out.integer(3)
  out.bytes(concat(...mark.packs.map((name) => idBytes(name))))
  out.integer(4)
  out.bytes(mark.sessionId)
  return out.finish()
}

export function decodeMark(body: Uint8Array): Mark {
  const draft: { -readonly [K in keyof Mark]: Mark[K] } = {
    phase: 0,
    time: { seconds: 0, nanoseconds: 0 },
    packs: [],
    sessionId: new Uint8Array(SESSION_ID_BYTES),
  }
  readFields(body, 'mark', (reader, key) => {
    if (key === 1) draft.phase = reader.unsigned(1)
    else if (key === 2) draft.time = readTime(reader)
    else if (key === 3) {
      const names = reader.bytes()
      if (names.length % ID_BYTES !== 0) reader.fail('a pack name is cut off')
      draft.packs = Array.from({ length: names.length / ID_BYTES }, (_, i) =>
        fileNameOf(names.subarray(i * ID_BYTES, (i + 1) * ID_BYTES)),
      )
    } else if (key === 4) draft.sessionId = reader.bytes(SESSION_ID_BYTES, SESSION_ID_BYTES)
    else return false
    return true
  })
  return draft
}

function writeIds(out: CborWriter, ids: readonly Uint8Array[]): void {
  out.array(ids.length)
  for (const id of ids) out.bytes(id)
}

function readIds(reader: CborReader): Uint8Array[] {
  return Array.from({ length: reader.array() }, () => reader.bytes(ID_BYTES, ID_BYTES))
}

function readForgotten(reader: CborReader): Forgotten {
  reader.array(5)
  const snapshot = reader.bytes(ID_BYTES, ID_BYTES)
  const replacement = reader.bytes(ID_BYTES)
  const body = reader.bytes()
  const author = reader.bytes(AUTHOR_ID_BYTES)
  return { snapshot, replacement, body, author, aead: reader.unsigned(255) }
}

export function encodeTombstone(tombstone: Tombstone): Uint8Array {
  const out = new CborWriter(1024)
  writeHead(out, 5)
  out.integer(1)
  out.array(tombstone.forgotten.length)
  for (const item of tombstone.forgotten) {
    out.array(5)
    out.bytes(item.snapshot)
    out.bytes(item.replacement)
    out.bytes(item.body)
    out.bytes(item.author)
    out.integer(item.aead)
  }
  writeTimeAt(out, 2, tombstone.time)
  out.integer(3)
  writeIds(out, tombstone.known)
  out.integer(4)
  writeIds(out, tombstone.merged)
  return out.finish()
}

export function decodeTombstone(body: Uint8Array): Tombstone {
  const draft: { -readonly [K in keyof Tombstone]: Tombstone[K] } = {
    forgotten: [],
    time: { seconds: 0, nanoseconds: 0 },
    known: [],
    merged: [],
  }
  readFields(body, 'tombstone', (reader, key) => {
    if (key === 1) {
      draft.forgotten = Array.from({ length: reader.array() }, () => readForgotten(reader))
    } else if (key === 2) draft.time = readTime(reader)
    else if (key === 3) draft.known = readIds(reader)
    else if (key === 4) draft.merged = readIds(reader)
    else return false
    return true
  })
  return draft
}
