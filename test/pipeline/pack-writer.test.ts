/** A pack writer opens what it has sealed: bad memory and a bad compressor do not reach the storage. */

import { describe, expect, test } from 'vitest'
import { loadZstd, type Zstd } from '../../src/compression/zstd.ts'
import { loadBlake3 } from '../../src/crypto/blake3.ts'
import { BLOB_TYPE, PADDING, SEGMENT_KIND } from '../../src/format/constants.ts'
import { BlobIdentifier } from '../../src/pipeline/keys.ts'
import { PackWriter } from '../../src/pipeline/pack-writer.ts'
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
