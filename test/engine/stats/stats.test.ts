/** The figures of the four modes on trees whose figures are known. */

import { expect, test } from 'vitest'
import { RawData } from '../../../src/engine/stats/raw-data.ts'
import { RestoreSize } from '../../../src/engine/stats/restore-size.ts'
import { UniqueFiles } from '../../../src/engine/stats/unique-files.ts'
import { countReads } from '../../support/counting-blobs.ts'
import { openBlobs } from '../../support/open-blobs.ts'
import { RepositoryBuilder } from '../../support/repository-builder.ts'

const signal = new AbortController().signal
const block = (letter: string) => Buffer.alloc(64, letter)

async function built() {
  const builder = await RepositoryBuilder.create({ chunkBytes: 64 })
  const linked = { type: 'file', bytes: block('l'), linkGroup: 5n } as const
  const first = builder.tree({
    'dir/one': Buffer.concat([block('a'), block('b'), block('a')]),
    'dir/same': Buffer.concat([block('a'), block('b'), block('a')]),
    'dir/l1': linked,
    'other/l2': linked,
    link: { type: 'symlink', target: 'dir' },
  })
  const second = builder.tree({
    'dir/one': Buffer.concat([block('a'), block('b'), block('a')]),
    'dir/same': Buffer.concat([block('a'), block('b'), block('a')]),
    'dir/l1': linked,
    'more/one': Buffer.concat([block('a'), block('c')]),
  })
  await builder.finish(first)
  const { blobs, index } = await openBlobs(builder.repository)
  return { roots: [first, second], index, ...countReads(blobs) }
}

test('restore-size counts all entries, and files with several names once a snapshot', async () => {
  const { roots, blobs, reads } = await built()
  const size = new RestoreSize(blobs, signal)
  for (const root of [...roots, ...roots]) await size.add(root)
  const first = { entries: 7, bytes: 2 * 192 + 64 }
  const second = { entries: 6, bytes: 2 * 192 + 64 + 128 }
  expect(size.totals).toEqual({
    fileCount: 2 * (first.entries + second.entries),
    byteCount: 2 * (first.bytes + second.bytes),
  })
  expect(Math.max(...reads.values())).toBe(1)
})

test('files-by-contents counts each content once, and having none as one', async () => {
  const { roots, blobs, reads } = await built()
  const unique = new UniqueFiles(blobs, { signal, countsBlobs: false })
  for (const root of roots) await unique.add(root)
  expect(unique.files).toEqual({ fileCount: 4, byteCount: 192 + 64 + 128 })
  expect(Math.max(...reads.values())).toBe(1)
})

test('blobs-per-file counts each blob of a path once', async () => {
  const { roots, blobs } = await built()
  const unique = new UniqueFiles(blobs, { signal, countsBlobs: true })
  for (const root of roots) await unique.add(root)
  // a and b of one, l of l1, a and c of more/one.
  expect(unique.blobsPerFile).toEqual({ fileCount: 3, blobCount: 5, byteCount: 5 * 64 })
})

test('raw-data counts every blob that is needed once, trees as well, as they are stored', async () => {
  const { roots, blobs, index, reads } = await built()
  const raw = new RawData(blobs, index, signal)
  for (const root of roots) await raw.add(root)
  // 4 blocks; two roots, dir, other, and the second's dir (which is the first's) and more.
  expect(raw.totals).toMatchObject({ blobCount: 4 + 5, missingCount: 0 })
  const { plainBytes, storedBytes, compressed } = raw.totals
  expect(plainBytes).toBeGreaterThan(4 * 64)
  expect(storedBytes).toBeGreaterThan(0)
  expect(compressed.plainBytes).toBeLessThanOrEqual(plainBytes)
  expect(Math.max(...reads.values())).toBe(1)
})
