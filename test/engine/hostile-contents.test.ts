/** A repository whose owner means harm: everything authenticates, and nothing is as it should be. */

import { describe, expect, test } from 'vitest'
import { toHex } from '../../src/base/bytes.ts'
import { loadZstd, type Zstd } from '../../src/compression/zstd.ts'
import { loadBlake3 } from '../../src/crypto/blake3.ts'
import { RawData } from '../../src/engine/stats/raw-data.ts'
import { RestoreSize } from '../../src/engine/stats/restore-size.ts'
import { nameGoal } from '../../src/engine/find/find-names.ts'
import { TreeSearch } from '../../src/engine/find/tree-search.ts'
import { BLOB_TYPE, LIMIT, PADDING, SEGMENT_KIND } from '../../src/format/constants.ts'
import { PackDirectory } from '../../src/format/directory.ts'
import { CborWriter } from '../../src/format/cbor.ts'
import { encodeIndexFile } from '../../src/format/index-file.ts'
import { LEAF_HEAD, type NodeRoot, writeEntry } from '../../src/format/tree.ts'
import { fileNameOf } from '../../src/base/ids.ts'
import { BlobIdentifier } from '../../src/pipeline/keys.ts'
import { PackWriter, type SealedPack } from '../../src/pipeline/pack-writer.ts'
import type { Repository } from '../../src/repository/repository.ts'
import { MemoryBackend } from '../../src/storage/memory/memory-backend.ts'
import { BlobReader } from '../../src/repository/blob-reader.ts'
import { openIndex } from '../../src/repository/open-index.ts'
import { openBlobs } from '../support/open-blobs.ts'
import { browserOf } from '../support/open-browser.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { RepositoryBuilder } from '../support/repository-builder.ts'
import { checkUnlocked, noise, textOf } from './check/check-support.ts'
import { runPrune } from './prune/prune-harness.ts'

const signal = new AbortController().signal
const folder = temporaryFolder('cairn-hostile-')

describe('M6: directories that are in each other', () => {
  /** Two names for one directory, `depth` times: 2^depth paths. */
  function bomb(builder: RepositoryBuilder, depth: number, bottom: NodeRoot): NodeRoot {
    let root = bottom
    for (let i = 0; i < depth; i++) {
      root = builder.directory(
        ['a', 'b'].map((name) => builder.entry(name, { type: 'directory', subtree: root })),
      )
    }
    return root
  }

  test('X27: one directory at 2^60 paths: check, prune, stats and find look at it once', async () => {
    const backend = new MemoryBackend()
    const builder = await RepositoryBuilder.create({ backend })
    const bottom = builder.directory([builder.entry('file', noise(100, 1))])
    const root = bomb(builder, 60, bottom)
    const { repository } = await builder.finish(root)
    expect(textOf(await checkUnlocked(repository, backend))).toBe('')
    await runPrune(backend, {}, { repository })
    const { blobs, index } = await openBlobs(repository)
    await new RestoreSize(blobs, signal).add(root)
    const raw = new RawData(blobs, index, signal)
    await raw.add(root)
    const query = { patterns: ['nothing'], ignoreCase: false }
    const search = new TreeSearch({
      blobs,
      goal: nameGoal({ ...query, oldestNs: undefined, newestNs: undefined }),
      signal,
      onHit: () => {},
      onDamage: () => {},
      drain: async () => {},
    })
    await search.run(root)
    expect(search.damageCount).toBe(0)
  })

  test('what is lost at 2^60 paths is told by some of them', async () => {
    const backend = new MemoryBackend()
    const builder = await RepositoryBuilder.create({ backend })
    const lost = builder.entry('lost', { type: 'file', size: 9, content: lostReference() })
    const root = bomb(builder, 60, builder.directory([lost]))
    const { repository } = await builder.finish(root)
    const report = await checkUnlocked(repository, backend)
    expect(report.summary.num_errors).toBeGreaterThan(0)
    expect(textOf(report)).toMatch(/\/a\/a\/a.*\/lost/)
  })

  function lostReference(): Buffer {
    const reference = Buffer.alloc(36)
    reference.set(noise(32, 8))
    reference.writeUInt32LE(9, 32)
    return reference
  }

  test('X27: a directory that is said to be in itself has not the id of its bytes', async () => {
    const backend = new MemoryBackend()
    const builder = await RepositoryBuilder.create({ backend, verify: false })
    const id = noise(32, 3)
    const self = builder.entry('self', { type: 'directory', subtree: { id, height: 0 } })
    const leaf = new CborWriter()
    leaf.raw(LEAF_HEAD)
    writeEntry(leaf, self)
    builder.blob(leaf.finish(), { type: BLOB_TYPE.leaf, as: id })
    const { repository } = await builder.finish(builder.directory([self]))
    const { blobs } = await openBlobs(repository)
    await expect(blobs.load(id, BLOB_TYPE.leaf)).rejects.toThrow(/is damaged/)
    expect(textOf(await checkUnlocked(repository, backend))).toMatch(/do not have its id|\/self/)
    await expect(runPrune(backend, {}, { repository })).rejects.toThrow(/nothing was removed/)
  })
})

/** One pack with one data blob, sealed by a writer with another compressor. */
async function sealWith(repository: Repository, zstd: Zstd, blob: Uint8Array): Promise<SealedPack> {
  const packs: SealedPack[] = []
  const blake3 = loadBlake3()
  const writer = new PackWriter(
    {
      kind: SEGMENT_KIND.data,
      keys: repository.writeKeys,
      packBytesTarget: 1 << 20,
      blobBytesMax: LIMIT.blobBytesMax,
      padding: PADDING.none,
      level: 3,
      verify: false,
    },
    {
      blake3,
      zstd,
      entropy: repository.entropy,
      allocate: (byteCount) => new ArrayBuffer(byteCount),
      emit: (pack) => packs.push(pack),
      nextHandle: () => 1,
    },
  )
  const id = new BlobIdentifier(repository.writeKeys.idKeys, blake3).id(BLOB_TYPE.data, blob)
  writer.add(BLOB_TYPE.data, Buffer.from(id), blob)
  writer.finish()
  const [pack] = packs
  if (pack === undefined) throw new Error('no pack')
  await repository.backend.save({ kind: 'packs', name: fileNameOf(pack.name) }, pack.bytes)
  return pack
}

/** What an index file says of a pack. */
function indexEntry(repository: Repository, pack: SealedPack) {
  return {
    name: fileNameOf(pack.name),
    byteCount: pack.bytes.byteLength,
    verified: false,
    author: repository.keyring.authorId,
    preamble: pack.preamble,
    directory: new PackDirectory(pack.directory),
  }
}

async function index(repository: Repository, pack: SealedPack): Promise<void> {
  const packs = [indexEntry(repository, pack)]
  await repository.saveObject('index', encodeIndexFile({ superseded: [], packs }))
}

/** Compresses everything into these bytes. */
function compressorOf(output: Uint8Array): Zstd {
  const real = loadZstd()
  return Object.assign(Object.create(real) as Zstd, {
    compressBound: (byteCount: number) => Math.max(real.compressBound(byteCount), output.length),
    compressInto: (into: Uint8Array, at: number) => {
      into.set(output, at)
      return output.length
    },
    decompressInto: real.decompressInto.bind(real),
  })
}

/** A frame of this many zeros. */
function frameOf(byteCount: number): Uint8Array {
  const zstd = loadZstd()
  const plain = new Uint8Array(byteCount)
  const out = new Uint8Array(zstd.compressBound(byteCount))
  return out.slice(0, zstd.compressInto(out, 0, plain, 3))
}

describe('M7 X24: a sealed segment that unpacks to more than it says', () => {
  test('ends at what it says, and the blob counts as damaged', async () => {
    const builder = await RepositoryBuilder.create()
    const { repository, backend } = await builder.finish(builder.tree({ good: noise(50, 1) }))
    const blob = noise(300_000, 2)
    const pack = await sealWith(repository, compressorOf(frameOf(64 << 20)), blob)
    await index(repository, pack)
    const id = new PackDirectory(pack.directory).id(0)
    const { blobs } = await openBlobs(repository)
    await expect(blobs.load(id, BLOB_TYPE.data)).rejects.toMatchObject({
      cause: { cause: { message: expect.stringContaining('does not decompress') as string } },
    })
    const report = await checkUnlocked(repository, backend)
    expect(report.summary.broken_packs).toEqual([toHex(pack.name)])
  })

  test('and one that unpacks to less, or not at all', async () => {
    const builder = await RepositoryBuilder.create()
    const { repository, backend } = await builder.finish(builder.tree({ good: noise(50, 1) }))
    for (const output of [frameOf(10), Buffer.from('no frame at all'), Buffer.alloc(0)]) {
      const pack = await sealWith(repository, compressorOf(output), noise(300_000, output.length))
      await index(repository, pack)
      const { blobs } = await openBlobs(repository)
      const id = new PackDirectory(pack.directory).id(0)
      await expect(blobs.load(id, BLOB_TYPE.data)).rejects.toThrow(/is damaged/)
      const report = await checkUnlocked(repository, backend)
      expect(report.summary.broken_packs).toContain(toHex(pack.name))
    }
  })
})

describe('X22: an index file that says of a pack of others what is not so', () => {
  test('P2 whoever browses gets the bytes that have the id, whichever were read before', async () => {
    const backend = new MemoryBackend()
    const builder = await RepositoryBuilder.create({ backend })
    const blobs = [noise(3000, 1), noise(3000, 2)]
    const ids = blobs.map((bytes) => Buffer.from(builder.blob(bytes)))
    const { repository } = await builder.finish(builder.directory([]))
    const names = (await backend.list('index')).map(({ name }) => name)
    const right = names.map((name) => repository.loadIndexFile(name))
    const files = (await Promise.all(right)).flatMap((file) => file ?? [])
    for (const name of names) await backend.remove({ kind: 'index', name })
    // First one that has taken the two ids for each other, then the one that is right.
    const lie = Buffer.from(
      encodeIndexFile({ superseded: [], packs: files.flatMap((file) => file.packs) }),
    )
    const places = ids.map((id) => lie.indexOf(id))
    for (const [i, at] of places.entries()) lie.set(ids[1 - i] ?? [], at)
    await repository.saveObject('index', lie)
    for (const file of files) await repository.saveObject('index', encodeIndexFile(file))
    const browser = await browserOf(repository)
    for (const i of [0, 1, 0, 1]) {
      const id = ids[i] ?? Buffer.alloc(0)
      const bytes = await browser.blobs.load(id, BLOB_TYPE.data)
      expect(Buffer.from(bytes).equals(blobs[i] ?? Buffer.alloc(0))).toBe(true)
    }
  })
})

describe('X22: an index file that says what no blob can be', () => {
  test.each(['memory', 'cache'])('is no reason not to open the others (%s)', async (kind) => {
    const builder = await RepositoryBuilder.create()
    const good = noise(50, 1)
    const id = builder.id(good)
    const { repository, backend } = await builder.finish(builder.tree({ good }))
    const pack = await sealWith(repository, loadZstd(), noise(3000, 2))
    const entry = indexEntry(repository, pack)
    const body = encodeIndexFile({ superseded: [], packs: [entry] })
    body[body.length - 5] = 99 // The type of its only blob.
    await repository.saveObject('index', body)
    const cacheDirectory = kind === 'cache' ? folder : undefined
    const opened = await openIndex(repository, { cacheDirectory, bulk: false })
    try {
      const blobs = new BlobReader(repository, opened.index)
      expect(Buffer.from(await blobs.load(id, BLOB_TYPE.data)).equals(good)).toBe(true)
      expect(opened.index.find(entry.directory.id(0))).toEqual([])
    } finally {
      await opened.close()
    }
    expect(textOf(await checkUnlocked(repository, backend))).toMatch(/unknown blob type 99/)
  })
})

describe('X22: a writer who stores rubbish under the ids of others', () => {
  test.each([true, false])(
    'the good copy is read, and is the one that a prune keeps (rubbish first: %s)',
    async (isFirst) => {
      const backend = new MemoryBackend()
      const builder = await RepositoryBuilder.create({ backend, verify: false })
      const right = noise(3000, 1)
      const id = builder.id(right)
      const rubbish = () => builder.blob(noise(3000, 2), { as: id, again: true })
      if (isFirst) {
        rubbish()
        await builder.closePack()
      }
      builder.blob(right, { again: true })
      const root = builder.tree({ file: right })
      await builder.closePack()
      if (!isFirst) rubbish()
      const built = await builder.finish(root)
      for (const isPruned of [false, true]) {
        if (isPruned) await runPrune(backend, {}, { repository: built.repository })
        const { blobs } = await openBlobs(await built.reopen())
        expect(Buffer.from(await blobs.load(id, BLOB_TYPE.data)).equals(right)).toBe(true)
      }
    },
  )
})
