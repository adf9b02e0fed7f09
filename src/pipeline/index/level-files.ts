/**
 * Copies a closed LevelDB database by hard links, so that a process has one of its own.
 *
 * LevelDB never changes a table once it is written, so two databases may share tables by links. But
 * it makes new files by opening them for writing, and cuts short what is there under the same name:
 * a table that a killed or just closing LevelDB left behind, unfinished and in no manifest, has a
 * number that the copy will use again, and through a link it would be written by two databases at
 * once. So only tables that the manifest names are linked; their numbers are below its next one.
 * The manifest and logs are copied, and the copy opens the very bytes that were looked at here.
 *
 * Nothing is locked: if somebody changes the database meanwhile, then a file is missing or has
 * another length, or the copy does not open, or it is an older state, which its reader checks.
 */

import {
  constants,
  copyFileSync,
  linkSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
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

/** What a manifest says about the files of its database. */
export interface Manifest {
  /** Number to length. */
  readonly tables: Map<number, number>
  logNumber: number
  previousLog: number
}

/** Copies the database in `from` into the existing, empty directory `to`. */
export function linkDatabase(from: string, to: string): void {
  const current = readFileSync(join(from, 'CURRENT'), 'latin1')
  const name = /^(MANIFEST-\d+)\n$/.exec(current)?.[1]
  if (name === undefined) throw new IndexDamagedError('CURRENT names no manifest')
  const bytes = readFileSync(join(from, name))
  const manifest = decodeManifest(bytes)
  for (const [number, byteCount] of manifest.tables) {
    const table = `${String(number).padStart(6, '0')}.ldb`
    linkOrCopy(join(from, table), join(to, table))
    if (statSync(join(to, table)).size !== byteCount) {
      throw new IndexDamagedError(`table ${number} has another length`)
    }
  }
  for (const file of readdirSync(from)) {
    if (isLogInUse(file, manifest)) copyFileSync(join(from, file), join(to, file))
    if (file.startsWith('filter-')) linkOrCopy(join(from, file), join(to, file))
  }
  writeFileSync(join(to, name), bytes)
  writeFileSync(join(to, 'CURRENT'), current)
}

function isLogInUse(file: string, manifest: Manifest): boolean {
  const number = Number(/^(\d+)\.log$/.exec(file)?.[1] ?? -1)
  return number >= manifest.logNumber || (number > 0 && number === manifest.previousLog)
}

/** Some file systems have no links. */
function linkOrCopy(from: string, to: string): void {
  try {
    linkSync(from, to)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') throw error
    copyFileSync(from, to, constants.COPYFILE_FICLONE)
  }
}

/** Follows a manifest, a log of edits in the format of LevelDB's doc/log_format.md. */
export function decodeManifest(bytes: Buffer): Manifest {
  const manifest: Manifest = { tables: new Map(), logNumber: 0, previousLog: 0 }
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
      manifest.tables.set(edit.number(), edit.number())
      edit.skipBytes()
      edit.skipBytes()
    } else throw new IndexDamagedError(`its manifest has an edit ${tag}`)
  }
}
