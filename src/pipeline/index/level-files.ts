/**
 * The files of a LevelDB database: checks them before LevelDB reads them, and copies a database by
 * hard links, so that a process has one of its own.
 *
 * LevelDB as it is bound here must not meet a damaged table: it verifies no checksums, and what then
 * makes no sense ends in a failed assertion, which kills the process. So a file "checksums" lists
 * length and CRC-32 of every table, and no database is opened before its tables agree with it.
 *
 * LevelDB never changes a table once it is written, so two databases may share tables by links. But
 * it makes new files by opening them for writing, and cuts short what is there under the same name:
 * a table that a killed or just closing LevelDB left behind, unfinished and in no manifest, has a
 * number that the copy will use again, and through a link it would be written by two databases at
 * once. So only tables that the manifest names are linked; their numbers are below its next one.
 * The manifest and logs are copied, and the copy opens the very bytes that were looked at here.
 *
 * Nothing is locked: if somebody changes the database meanwhile, then a file is missing or is not
 * listed, or the copy does not open, or it is an older state, which its reader checks.
 */

import {
  closeSync,
  constants,
  copyFileSync,
  linkSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { IndexDamagedError } from './level-rows.ts'
import { decodeManifest, type Manifest } from './level-manifest.ts'

const CHECKSUMS = 'checksums'
const READ_BYTES = 1 << 20

/** Copies the database in `from` into the existing, empty directory `to`. */
export function linkDatabase(from: string, to: string): void {
  const { manifest, name, bytes } = readManifest(from)
  for (const table of tablesOf(manifest)) linkOrCopy(join(from, table), join(to, table))
  checkTables(to, manifest, readChecksums(from))
  for (const file of readdirSync(from)) {
    if (isLogInUse(file, manifest)) copyFileSync(join(from, file), join(to, file))
    if (file.startsWith('filter-')) linkOrCopy(join(from, file), join(to, file))
  }
  writeFileSync(join(to, name), bytes)
  writeFileSync(join(to, 'CURRENT'), `${name}\n`)
}

/** Throws IndexDamagedError unless all tables of a database are what they were. */
export function checkDatabase(directory: string): void {
  checkTables(directory, readManifest(directory).manifest, readChecksums(directory))
}

/** Lists the tables of a database, for `checkDatabase` and `linkDatabase`. */
export function writeChecksums(directory: string): void {
  const known = readChecksums(directory)
  let text = ''
  for (const table of tablesOf(readManifest(directory).manifest)) {
    // A table never changes, and one that did must not be vouched for.
    text += `${table} ${known.get(table) ?? checksumOf(join(directory, table))}\n`
  }
  const path = join(directory, CHECKSUMS)
  writeFileSync(`${path}.new`, text, { mode: 0o600 })
  renameSync(`${path}.new`, path)
}

/** Whether the list names the tables that there are now. */
export function hasChecksums(directory: string): boolean {
  const known = readChecksums(directory)
  return tablesOf(readManifest(directory).manifest).every((table) => known.has(table))
}

/** Table to length and CRC; empty if there is no list. */
function readChecksums(directory: string): Map<string, string> {
  let text: string
  try {
    text = readFileSync(join(directory, CHECKSUMS), 'latin1')
  } catch {
    return new Map()
  }
  const lines = text.matchAll(/^(\d+\.ldb) (\d+ [0-9a-f]{8})\n/gm)
  return new Map(Array.from(lines, ([, table = '', checksum = '']) => [table, checksum]))
}

function checkTables(directory: string, manifest: Manifest, known: Map<string, string>): void {
  for (const table of tablesOf(manifest)) {
    if (known.get(table) !== checksumOf(join(directory, table))) {
      throw new IndexDamagedError(`table '${table}' is not what it was`)
    }
  }
}

/** At 5 GB/s: 15 ms for the tables of a million blobs. */
function checksumOf(path: string): string {
  const buffer = Buffer.allocUnsafeSlow(READ_BYTES)
  const file = openSync(path, 'r')
  let byteCount = 0
  let crc = 0
  try {
    for (;;) {
      const readCount = readSync(file, buffer)
      if (readCount === 0) return `${byteCount} ${crc.toString(16).padStart(8, '0')}`
      crc = crc32(buffer.subarray(0, readCount), crc)
      byteCount += readCount
    }
  } finally {
    closeSync(file)
  }
}

function readManifest(directory: string): { manifest: Manifest; name: string; bytes: Buffer } {
  const current = readFileSync(join(directory, 'CURRENT'), 'latin1')
  const name = /^(MANIFEST-\d+)\n$/.exec(current)?.[1]
  if (name === undefined) throw new IndexDamagedError('CURRENT names no manifest')
  const bytes = readFileSync(join(directory, name))
  return { manifest: decodeManifest(bytes), name, bytes }
}

function tablesOf(manifest: Manifest): string[] {
  return Array.from(manifest.tables, (number) => `${String(number).padStart(6, '0')}.ldb`)
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
