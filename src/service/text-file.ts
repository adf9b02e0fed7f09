/** Small files that people write: a password, a repository's location. */

import { closeSync, openSync, readSync } from 'node:fs'
import { CairnError } from '../base/errors.ts'

export type Environment = Readonly<Record<string, string | undefined>>

/** Nobody writes a longer one, and `/dev/zero` has no end. */
const FILE_BYTES_MAX = 65_536

/** All bytes of a small file or of a pipe such as `/dev/fd/63`. `what` names it in messages. */
export function readSmallFile(path: string, what: string): Uint8Array {
  const buffer = Buffer.alloc(FILE_BYTES_MAX + 1)
  let byteCount = 0
  try {
    const descriptor = openSync(path, 'r')
    try {
      for (;;) {
        const got = readSync(descriptor, buffer, byteCount, buffer.length - byteCount, null)
        byteCount += got
        if (got === 0 || byteCount > FILE_BYTES_MAX) break
      }
    } finally {
      closeSync(descriptor)
    }
  } catch (error) {
    const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT'
    const message = `cannot read the ${what} '${path}'${isMissing ? ': it does not exist' : ''}`
    throw new CairnError('CAIRN_FAILED', message, isMissing ? {} : { cause: error })
  }
  if (byteCount > FILE_BYTES_MAX) {
    buffer.fill(0)
    throw new CairnError(
      'CAIRN_FAILED',
      `cannot read the ${what} '${path}': it has more than ${FILE_BYTES_MAX} bytes`,
    )
  }
  const bytes = new Uint8Array(buffer.subarray(0, byteCount))
  buffer.fill(0)
  return bytes
}

/** UTF-8, or UTF-16 with a byte order mark, as editors on Windows leave it. Undefined for neither. */
export function decodeText(bytes: Uint8Array): string | undefined {
  const encoding =
    bytes[0] === 0xff && bytes[1] === 0xfe
      ? 'utf-16le'
      : bytes[0] === 0xfe && bytes[1] === 0xff
        ? 'utf-16be'
        : 'utf-8'
  try {
    return new TextDecoder(encoding, { fatal: true }).decode(bytes)
  } catch {
    return undefined
  }
}

export function readTextFile(path: string, what: string): string {
  const text = decodeText(readSmallFile(path, what))
  if (text === undefined) {
    throw new CairnError('CAIRN_FAILED', `cannot read the ${what} '${path}': it is not UTF-8 text`)
  }
  return text
}
