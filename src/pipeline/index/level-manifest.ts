/** What a LevelDB manifest says about the files of its database. */

import { IndexDamagedError } from './level-rows.ts'

const BLOCK_BYTES = 32_768
const RECORD_HEAD_BYTES = 7
const RECORD = { full: 1, first: 2, middle: 3, last: 4 } as const
const TAG = {
  comparator: 1,
  logNumber: 2,
  nextFile: 3,
  lastSequence: 4,
  compactPointer: 5,
  deletedFile: 6,
  newFile: 7,
  previousLog: 9,
} as const

export interface Manifest {
  /** The numbers of its tables. */
  readonly tables: Set<number>
  logNumber: number
  previousLog: number
}

/** Follows a manifest, a log of edits in the format of LevelDB's doc/log_format.md. */
export function decodeManifest(bytes: Buffer): Manifest {
  const manifest: Manifest = { tables: new Set(), logNumber: 0, previousLog: 0 }
  try {
    for (const edit of records(bytes)) applyEdit(manifest, new EditReader(edit))
  } catch (error) {
    if (error instanceof RangeError) throw new IndexDamagedError('its manifest ends early', error)
    throw error
  }
  return manifest
}

function* records(bytes: Buffer): Generator<Buffer> {
  let parts: Buffer[] = []
  for (let at = 0; at + RECORD_HEAD_BYTES <= bytes.length; ) {
    const left = BLOCK_BYTES - (at % BLOCK_BYTES)
    if (left < RECORD_HEAD_BYTES) {
      at += left
      continue
    }
    const end = at + RECORD_HEAD_BYTES + bytes.readUInt16LE(at + 4)
    const type = bytes[at + 6] ?? 0
    if (end > bytes.length || type < RECORD.full || type > RECORD.last) {
      throw new IndexDamagedError('its manifest is cut short')
    }
    if (type === RECORD.full || type === RECORD.first) parts = []
    parts.push(bytes.subarray(at + RECORD_HEAD_BYTES, end))
    if (type === RECORD.full || type === RECORD.last) yield Buffer.concat(parts)
    at = end
  }
}

class EditReader {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#bytes.length
  }

  /** A varint. Throws RangeError beyond the end. */
  number(): number {
    let value = 0
    for (let scale = 1; ; scale *= 128) {
      const byte = this.#bytes.readUInt8(this.#at++)
      value += (byte & 127) * scale
      if (byte < 128) return value
    }
  }

  skipBytes(): void {
    const byteCount = this.number()
    this.#at += byteCount
  }
}

function applyEdit(manifest: Manifest, edit: EditReader): void {
  while (!edit.isAtEnd) {
    const tag = edit.number()
    if (tag === TAG.comparator) edit.skipBytes()
    else if (tag === TAG.logNumber) manifest.logNumber = edit.number()
    else if (tag === TAG.previousLog) manifest.previousLog = edit.number()
    else if (tag === TAG.nextFile || tag === TAG.lastSequence) edit.number()
    else if (tag === TAG.compactPointer) {
      edit.number()
      edit.skipBytes()
    } else if (tag === TAG.deletedFile) {
      edit.number()
      manifest.tables.delete(edit.number())
    } else if (tag === TAG.newFile) {
      edit.number()
      manifest.tables.add(edit.number())
      edit.number()
      edit.skipBytes()
      edit.skipBytes()
    } else throw new IndexDamagedError(`its manifest has an edit ${tag}`)
  }
}
