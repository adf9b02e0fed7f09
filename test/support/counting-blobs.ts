/** A reader of blobs that counts how often each is read. */

import { toHex } from '../../src/base/bytes.ts'
import type { BlobReader } from '../../src/repository/blob-reader.ts'

export interface ReadCounts {
  readonly blobs: BlobReader
  /** By id, in hex. */
  readonly reads: Map<string, number>
}

export function countReads(blobs: BlobReader): ReadCounts {
  const reads = new Map<string, number>()
  const counting = new Proxy(blobs, {
    get: (target, name) => {
      // What is read ahead is not asked for yet.
      if (name === 'readAhead') return () => {}
      if (name !== 'load') return Reflect.get(target, name, target) as unknown
      return (...args: Parameters<BlobReader['load']>) => {
        const id = toHex(args[0])
        reads.set(id, (reads.get(id) ?? 0) + 1)
        return target.load(...args)
      }
    },
  })
  return { blobs: counting, reads }
}
