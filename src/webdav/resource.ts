/**
 * What a read-only WebDAV server shows: files, and collections of them. It knows nothing of where
 * they come from. Names are strings with a character for each byte.
 */

import type { ByteString } from '../base/bytes.ts'

interface Shown {
  readonly name: ByteString
  /** Of the last change, in milliseconds since 1970. */
  readonly mtimeMs: number
}

export interface WebdavFile extends Shown {
  readonly kind: 'file'
  readonly byteCount: number
  /** Another one whenever the content is another one. */
  readonly tag: string
  /** Fills `into` from `offset` and returns how much there was: less only at the end of the file. */
  read(offset: number, into: Uint8Array): Promise<number>
}

export interface WebdavCollection extends Shown {
  readonly kind: 'collection'
  find(name: ByteString): Promise<WebdavResource | undefined>
  /** All that is in it, some at a time: it may be more than memory holds. */
  pages(): AsyncIterable<readonly WebdavResource[]>
}

export type WebdavResource = WebdavFile | WebdavCollection
