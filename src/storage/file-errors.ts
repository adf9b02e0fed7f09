/** How files are called in messages, and the errors that every backend reports alike. */

import { CairnError } from '../base/errors.ts'
import { shortId } from '../base/ids.ts'
import type { ByteRange, FileKind, FileRef } from './backend.ts'

const NOUNS: Readonly<Record<FileKind, string>> = {
  config: 'config',
  keys: 'key slot',
  packs: 'pack',
  index: 'index file',
  snapshots: 'snapshot',
  retired: 'tombstone',
  marks: 'mark',
  sessions: 'session',
}

/** As in `cannot save pack 3fa9c1d2`. */
export function describeFile(file: FileRef): string {
  return `${NOUNS[file.kind]} ${shortId(file.name)}`
}

/** FORMAT.md "Layout": where a file is, relative to the repository. */
export function repositoryPath(file: FileRef): string {
  return file.kind === 'packs'
    ? `packs/${file.name.slice(0, 2)}/${file.name}`
    : `${file.kind}/${file.name}`
}

/** What is there under the name has another length than what should be saved. */
export function differentLengthError(
  file: FileRef,
  location: string,
  lengths: { readonly expected: number; readonly found: number },
): CairnError {
  return new CairnError(
    'CAIRN_CORRUPT',
    `cannot save ${describeFile(file)} in '${location}': a file of that name with ` +
      `${lengths.found} bytes instead of ${lengths.expected} is there already; run 'cairn check'`,
    { details: { file: repositoryPath(file), ...lengths } },
  )
}

/** A file ends before the bytes that were asked for. `found` counts the bytes from `offset` on. */
export function shortReadError(
  file: FileRef,
  location: string,
  read: { readonly offset: number; readonly expected: number; readonly found: number },
): CairnError {
  return new CairnError(
    'CAIRN_CORRUPT',
    `cannot load ${describeFile(file)} from '${location}': ${read.expected} bytes at offset ` +
      `${read.offset} are wanted, and ${read.found} are there; run 'cairn check'`,
    { details: { file: repositoryPath(file), ...read } },
  )
}

/**
 * Checks `range` against the length of its file, before memory is taken for it: a damaged index may
 * ask for anything. Returns the whole file where there is no range.
 */
export function checkedRange(
  file: FileRef,
  location: string,
  options: { readonly range: ByteRange | undefined; readonly fileByteCount: number },
): ByteRange {
  const { range, fileByteCount } = options
  if (range === undefined) return { offset: 0, byteCount: fileByteCount }
  const { offset, byteCount } = range
  if (!isCount(offset) || !isCount(byteCount)) {
    throw new RangeError(`not a range of bytes: offset ${offset}, byte count ${byteCount}`)
  }
  if (offset + byteCount > fileByteCount) {
    const found = Math.max(0, fileByteCount - offset)
    throw shortReadError(file, location, { offset, expected: byteCount, found })
  }
  return range
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0
}
