/** A pack writer opens what it has sealed: bad memory and a bad compressor do not reach the storage. */

import { describe, expect, test } from 'vitest'
import { loadZstd, type Zstd } from '../../src/compression/zstd.ts'
import { loadBlake3 } from '../../src/crypto/blake3.ts'
import { BLOB_TYPE, PADDING, SEGMENT_KIND } from '../../src/format/constants.ts'
import { PackDirectory } from '../../src/format/directory.ts'
import { BlobIdentifier } from '../../src/pipeline/keys.ts'
import type { Entropy } from '../../src/pipeline/pack-seal.ts'
import { PackWriter, type SealedPack } from '../../src/pipeline/pack-writer.ts'
import type { Repository } from '../../src/repository/repository.ts'
import { RepositoryBuilder } from '../support/repository-builder.ts'

type Compress = (into: Uint8Array, at: number, plain: Uint8Array, level: number) => number

function zstdWith(compressInto: Compress): Zstd {
  const real = loadZstd()
  return Object.assign(Object.create(real) as Zstd, {
    compressBound: real.compressBound.bind(real),
    compressInto,
    decompressInto: real.decompressInto.bind(real),
  })
}

async function write(
  kind: number,
  parts: { readonly zstd?: Zstd; readonly flipAfterHash?: boolean },
): Promise<number> {
  const { repository } = await RepositoryBuilder.create()
  let packCount = 0
  const blake3 = loadBlake3()
  const writer = new PackWriter(
    {
      kind: kind as 0 | 1,
      keys: repository.writeKeys,
      packBytesTarget: 1 << 20,
      blobBytesMax: 1 << 20,
      padding: PADDING.tail,
      level: 3,
      verify: true,
    },
    {
      blake3,
      zstd: parts.zstd ?? loadZstd(),
      entropy: repository.entropy,
      allocate: (byteCount) => new ArrayBuffer(byteCount),
      emit: () => void packCount++,
      nextHandle: () => 1,
    },
  )
  const type = kind === SEGMENT_KIND.data ? BLOB_TYPE.data : BLOB_TYPE.leaf
  const bytes = Buffer.alloc(5000, 'compressible ')
  const id = Buffer.from(new BlobIdentifier(repository.writeKeys.idKeys, blake3).id(type, bytes))
  if (parts.flipAfterHash === true) bytes[77] = (bytes[77] ?? 0) ^ 4
  writer.add(type, id, bytes)
  writer.finish()
  return packCount
}

describe.each([SEGMENT_KIND.data, SEGMENT_KIND.metadata])('segments of kind %i', (kind) => {
  test('sound ones become a pack', async () => {
    expect(await write(kind, {})).toBe(1)
  })

  test('B31: a bit that flips after a blob was hashed is found', async () => {
    await expect(write(kind, { flipAfterHash: true })).rejects.toMatchObject({
      code: 'CAIRN_FAILED',
    })
  })

  test('B31: a bit that flips in what was compressed is found, wherever it is', async () => {
    const real = loadZstd()
    const frame = new Uint8Array(real.compressBound(6000))
    const length = real.compressInto(frame, 0, Buffer.alloc(5005, 'compressible '), 3)
    for (let at = 0; at < length; at += 3) {
      const zstd = zstdWith((into, start, plain, level) => {
        const count = real.compressInto(into, start, plain, level)
        into[start + at] = (into[start + at] ?? 0) ^ 0x10
        return count
      })
      await expect(write(kind, { zstd })).rejects.toMatchObject({ code: 'CAIRN_FAILED' })
    }
  })

  test('B32: a compressor that gives garbage, or throws, is found', async () => {
    const garbage = zstdWith((into, at) => {
      into.fill(0xa5, at, at + 40)
      return 40
    })
    await expect(write(kind, { zstd: garbage })).rejects.toMatchObject({ code: 'CAIRN_FAILED' })
    const throwing = zstdWith(() => {
      throw new Error('the compressor has given up')
    })
    await expect(write(kind, { zstd: throwing })).rejects.toThrow('given up')
  })
})

test('B31: a writer that has found something bad writes nothing more', async () => {
  const { repository } = await RepositoryBuilder.create()
  const packs: SealedPack[] = []
  const writer = writerOf(repository, repository.entropy, packs)
  writer.add(BLOB_TYPE.leaf, new Uint8Array(32).fill(1), Buffer.from('not what has this id'))
  expect(() => writer.finish()).toThrow(/what was sealed does not open/)
  expect(() => writer.finish()).toThrow(/what was sealed does not open/)
  const bytes = Buffer.from('sound')
  expect(() => writer.add(BLOB_TYPE.leaf, idOf(repository, bytes), bytes)).toThrow(/bad/)
  expect(packs).toEqual([])
})

test('M15: where random numbers and clock repeat, packs that differ anywhere have keys of their own', async () => {
  const { repository } = await RepositoryBuilder.create()
  const { clock } = repository.entropy
  const stopped = Object.assign(Object.create(clock) as typeof clock, {
    wallNs: () => 1_800_000_000_000_000_000n,
    monotonicMs: () => 1000,
  })
  const random = { ...repository.entropy.random, bytes: (count: number) => new Uint8Array(count) }
  const entropy = { clock: stopped, random, pid: 4242 }
  const preambleOf = (last: string): string => {
    const packs: SealedPack[] = []
    const writer = writerOf(repository, entropy, packs)
    for (const text of ['a', 'b', 'c', last]) {
      // Large enough for a segment of its own.
      const bytes = Buffer.alloc(100_000, text)
      writer.add(BLOB_TYPE.leaf, idOf(repository, bytes), bytes)
    }
    writer.finish()
    const [pack] = packs
    if (pack === undefined || packs.length > 1) throw new Error('not one pack')
    expect(new PackDirectory(pack.directory).segmentCount).toBe(4)
    return Buffer.from(pack.preamble).toString('hex')
  }
  expect(preambleOf('d')).toBe(preambleOf('d'))
  expect(preambleOf('d')).not.toBe(preambleOf('e'))
})

function idOf(repository: Repository, bytes: Uint8Array): Uint8Array {
  const identifier = new BlobIdentifier(repository.writeKeys.idKeys, loadBlake3())
  return Buffer.from(identifier.id(BLOB_TYPE.leaf, bytes))
}

function writerOf(repository: Repository, entropy: Entropy, packs: SealedPack[]): PackWriter {
  return new PackWriter(
    {
      kind: SEGMENT_KIND.metadata,
      keys: repository.writeKeys,
      packBytesTarget: 1 << 20,
      blobBytesMax: 1 << 20,
      padding: PADDING.tail,
      level: 3,
      verify: true,
    },
    {
      blake3: loadBlake3(),
      zstd: loadZstd(),
      entropy,
      allocate: (byteCount) => new ArrayBuffer(byteCount),
      emit: (pack) => void packs.push(pack),
      nextHandle: () => 1,
    },
  )
}
