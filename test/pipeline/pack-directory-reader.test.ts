import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { CairnError } from '../../src/base/errors.ts'
import { loadZstd } from '../../src/compression/zstd.ts'
import { loadBlake3 } from '../../src/crypto/blake3.ts'
import { PREAMBLE_BYTES, SEGMENT_HEADER_BYTES } from '../../src/format/constants.ts'
import type { IndexedPack } from '../../src/format/index-file.ts'
import { segmentBodyBytes } from '../../src/format/segment.ts'
import { BlobIdentifier } from '../../src/pipeline/keys.ts'
import {
  directoryOf,
  openPreambleOf,
  PACK_TAIL_BYTES,
  packOutlineOf,
  readPackDirectory,
  walkSegments,
} from '../../src/pipeline/pack-directory-reader.ts'
import { AeadSet, type PackKey } from '../../src/pipeline/pack-seal.ts'
import { SegmentReader } from '../../src/pipeline/segment-reader.ts'
import type { Repository } from '../../src/repository/repository.ts'
import { noise } from '../engine/check/check-support.ts'
import { buildRepository } from '../support/repository-builder.ts'

let repository: Repository
/** One data pack with several segments, as stored and as its index file has it. */
let bytes: Uint8Array
let indexed: IndexedPack
let keyOf: (preamble: Uint8Array) => PackKey

beforeAll(async () => {
  // Chunks of 1 MiB fill a segment each; the small files share one.
  const files = {
    'big.bin': noise(3_500_000, 1),
    a: noise(1000, 2),
    b: Buffer.from('text '.repeat(4000)),
    c: noise(10, 3),
  }
  const built = await buildRepository({ files, chunkBytes: 1 << 20 })
  repository = built.repository
  keyOf = (preamble) => repository.packKey(preamble)
  for (const { name } of await built.backend.list('index')) {
    for (const pack of (await repository.loadIndexFile(name))?.packs ?? []) {
      if (pack.directory.segment(0).kind !== 0) continue
      indexed = pack
      bytes = (await built.backend.load({ kind: 'packs', name: pack.name })) ?? new Uint8Array()
    }
  }
  expect(indexed.directory.segmentCount).toBeGreaterThan(3)
})

function parts() {
  const { data, metadata } = repository.keyring.ids
  return {
    segments: new SegmentReader(new AeadSet(), loadZstd()),
    identifier: new BlobIdentifier({ data, metadata }, loadBlake3()),
  }
}

function fileOf(stored: Uint8Array) {
  const reads: number[] = []
  const load = async ({ offset, byteCount }: { offset: number; byteCount: number }) => {
    reads.push(byteCount)
    if (offset < 0 || offset + byteCount > stored.length) {
      throw new CairnError('CAIRN_CORRUPT', 'a range outside the file')
    }
    return stored.subarray(offset, offset + byteCount)
  }
  return { reads, file: { byteCount: stored.length, load, keyOf } }
}

function zeroed(from: number, to: number): Uint8Array {
  return Uint8Array.from(bytes).fill(0, from, to)
}

describe('readPackDirectory()', () => {
  test('reads the directory that the index has, in one read', async () => {
    const { file, reads } = fileOf(bytes)
    const outline = await readPackDirectory(file)
    expect(Buffer.from(outline.directory.bytes)).toEqual(Buffer.from(indexed.directory.bytes))
    expect(Buffer.from(outline.preamble)).toEqual(Buffer.from(indexed.preamble))
    expect(reads).toEqual([64 * 1024])
  })

  test('does with either copy of the preamble', async () => {
    const copyStart = bytes.length - PACK_TAIL_BYTES
    for (const [from, to] of [
      [0, PREAMBLE_BYTES],
      [copyStart, copyStart + PREAMBLE_BYTES],
    ]) {
      const stored = zeroed(from ?? 0, to ?? 0)
      const outline = await readPackDirectory(fileOf(stored).file)
      expect(outline.directory.blobCount).toBe(indexed.directory.blobCount)
      expect(packOutlineOf(stored, keyOf).directory.blobCount).toBe(indexed.directory.blobCount)
    }
  })

  test('rejects what is not a whole pack', async () => {
    const footerless = bytes.slice(0, bytes.length - PACK_TAIL_BYTES - 64)
    const broken = [
      new Uint8Array(),
      bytes.slice(0, 100),
      bytes.slice(0, bytes.length >> 1),
      bytes.slice(0, -1),
      Buffer.concat([bytes, Buffer.alloc(64)]),
      new Uint8Array(bytes.length),
      footerless,
    ]
    for (const stored of broken) {
      await expect(readPackDirectory(fileOf(stored).file)).rejects.toMatchObject({
        code: 'CAIRN_CORRUPT',
      })
    }
  })

  test('throws what the storage throws', async () => {
    const down = new CairnError('CAIRN_STORAGE_DOWN', 'no network')
    const load = () => Promise.reject(down)
    await expect(readPackDirectory({ byteCount: bytes.length, load, keyOf })).rejects.toBe(down)
  })

  test('never accepts a footer or a trailer with a flipped bit', async () => {
    const { footerOffset } = packOutlineOf(bytes, keyOf)
    const trailerStart = bytes.length - 64
    const copyStart = bytes.length - PACK_TAIL_BYTES
    await fc.assert(
      fc.asyncProperty(fc.nat(bytes.length), fc.nat(7), async (position, bit) => {
        const at = footerOffset + (position % (bytes.length - footerOffset))
        if (at >= copyStart && at < trailerStart) return // The copy of the preamble: harmless.
        const stored = Uint8Array.from(bytes)
        stored[at] = (stored[at] ?? 0) ^ (1 << bit)
        await expect(readPackDirectory(fileOf(stored).file)).rejects.toBeInstanceOf(CairnError)
      }),
      { numRuns: 100 },
    )
  })
})

describe('walkSegments()', () => {
  function salvage(stored: Uint8Array) {
    const { key } = openPreambleOf(stored, keyOf)
    return [...walkSegments(stored, key, parts())]
  }

  test('finds every segment of a pack whose footer and trailer are gone', () => {
    const { footerOffset } = packOutlineOf(bytes, keyOf)
    for (const stored of [bytes.slice(0, footerOffset), zeroed(footerOffset, bytes.length)]) {
      const found = directoryOf(salvage(stored))
      expect(Buffer.from(found.bytes)).toEqual(Buffer.from(indexed.directory.bytes))
    }
  })

  test('finds every segment of a pack whose first preamble is zeroed', () => {
    const found = directoryOf(salvage(zeroed(0, PREAMBLE_BYTES)))
    expect(Buffer.from(found.bytes)).toEqual(Buffer.from(indexed.directory.bytes))
  })

  test('passes over damaged segments, header or body, and finds the ones after them', () => {
    const { directory } = indexed
    for (let damaged = 0; damaged < directory.segmentCount; damaged++) {
      const { offset } = directory.segment(damaged)
      for (const at of [offset + 3, offset + SEGMENT_HEADER_BYTES + 5]) {
        const stored = Uint8Array.from(bytes)
        stored[at] = (stored[at] ?? 0) ^ 0x40
        const expected = Array.from(
          { length: directory.segmentCount },
          (_, i) => directory.segment(i).offset,
        ).filter((each) => each !== offset)
        expect(salvage(stored).map(({ segment }) => segment.offset)).toEqual(expected)
      }
    }
  })

  test('finds the whole segments of a pack that was cut off anywhere', () => {
    const { directory } = indexed
    for (let share = 0; share <= 1; share += 0.0625) {
      const length = Math.floor(bytes.length * share)
      if (length < PREAMBLE_BYTES) continue
      const stored = bytes.subarray(0, length)
      const whole = Array.from({ length: directory.segmentCount }, (_, i) =>
        directory.segment(i),
      ).filter(
        (each) => each.offset + SEGMENT_HEADER_BYTES + segmentBodyBytes(each.storedBytes) <= length,
      )
      expect(salvage(stored)).toHaveLength(whole.length)
    }
  })
})
