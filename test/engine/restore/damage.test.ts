import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'vitest'
import { PackDirectory } from '../../../src/format/directory.ts'
import { BLOB_TYPE, PREAMBLE_BYTES } from '../../../src/format/constants.ts'
import { equalBytes } from '../../../src/base/bytes.ts'
import { CairnError } from '../../../src/base/errors.ts'
import { MemoryBackend } from '../../../src/storage/memory/memory-backend.ts'
import {
  type BuiltRepository,
  buildRepository,
  RepositoryBuilder,
} from '../../support/repository-builder.ts'
import {
  noise,
  restore,
  targetDirectory,
  temporaryNames,
  testEnvironment,
} from './restore-harness.ts'

const CHUNK = 600_000 // Alone in its segment.

/** Flips a byte in the middle of the first, or of every, stored segment that holds the blob. */
async function damageBlob(built: BuiltRepository, id: Uint8Array, copies: number): Promise<void> {
  const backend = built.backend as MemoryBackend
  const [indexFile] = await backend.list('index')
  assert.ok(indexFile)
  const { packs } = (await built.repository.loadIndexFile(indexFile.name)) ?? { packs: [] }
  for (const pack of packs) {
    const directory = new PackDirectory(pack.directory.bytes)
    directory.forEach((blob, _segment, _offset, segment) => {
      if (copies === 0 || directory.type(blob) !== BLOB_TYPE.data) return
      if (!equalBytes(directory.id(blob), id)) return
      const bytes = backend.files.get(`packs/${pack.name}`)
      assert.ok(bytes)
      const at = segment.offset + 64 + Math.floor(segment.storedBytes / 2)
      bytes[at] = (bytes[at] ?? 0) ^ 1
      copies--
    })
  }
  assert.equal(copies, 0, 'the blob has as many copies')
}

/** From now on the bytes of the blob are in a sector that the disk cannot read. */
async function loseSector(built: BuiltRepository, id: Uint8Array): Promise<void> {
  const backend = built.backend as MemoryBackend
  const before = new Map([...backend.files].map(([name, bytes]) => [name, Uint8Array.from(bytes)]))
  await damageBlob(built, id, 1)
  const bad = [...before].find(
    ([name, bytes]) => !equalBytes(bytes, backend.files.get(name) ?? bytes),
  )
  assert.ok(bad)
  const [path, bytes] = bad
  const at = bytes.findIndex((byte, i) => byte !== backend.files.get(path)?.[i])
  backend.files.set(path, bytes)
  failToRead(backend, path, at)
}

function failToRead(backend: MemoryBackend, path: string, at: number): void {
  const load = backend.load.bind(backend)
  backend.load = async (file, range, options) => {
    const { offset, byteCount } = range ?? { offset: 0, byteCount: Infinity }
    const isHit = path.endsWith(file.name) && offset <= at && at < offset + byteCount
    if (!isHit) return await load(file, range, options)
    const details = { errno: 'EIO' }
    throw new CairnError('CAIRN_STORAGE_DOWN', 'cannot load: input/output error', { details })
  }
}

/** The same for the first segment of metadata. */
async function loseMetadata({ backend, repository }: BuiltRepository): Promise<void> {
  const [indexFile] = await backend.list('index')
  assert.ok(indexFile)
  const { packs } = (await repository.loadIndexFile(indexFile.name)) ?? { packs: [] }
  for (const pack of packs) {
    const directory = new PackDirectory(pack.directory.bytes)
    if (directory.type(0) === BLOB_TYPE.data) continue
    failToRead(backend as MemoryBackend, `packs/${pack.name}`, PREAMBLE_BYTES)
    return
  }
  assert.fail('there is no metadata')
}

function tenFiles(): Record<string, Buffer> {
  return Object.fromEntries(
    Array.from({ length: 10 }, (_, i) => [`file${i}`, noise(3 * CHUNK, i + 1)]),
  )
}

describe.each([0, 2])('restoreSnapshot() of damaged data with %i threads', (threads) => {
  const environment = testEnvironment({ threads })

  test('R6: a damaged chunk in the middle of one file of ten costs that file only', async () => {
    const files = tenFiles()
    const builder = await RepositoryBuilder.create({ chunkBytes: CHUNK })
    const built = await builder.finish(builder.tree(files))
    const chunk = files['file3']?.subarray(CHUNK, 2 * CHUNK) ?? Buffer.alloc(0)
    await damageBlob(built, builder.id(chunk), 1)
    const target = targetDirectory()
    const { report, errors } = await restore(built, { target, environment })
    assert.equal(errors.length, 1)
    assert.match(errors[0] ?? '', /^\/file3: blob [0-9a-f]{8} is damaged: .*damaged/)
    assert.equal(report.isComplete, false)
    assert.equal(existsSync(join(target, 'file3')), false)
    assert.deepEqual(temporaryNames(target), [])
    for (const [name, bytes] of Object.entries(files)) {
      if (name !== 'file3') assert.ok(readFileSync(join(target, name)).equals(bytes), name)
    }
  })

  test('B13: a sector that cannot be read costs the files that are in it only', async () => {
    const files = tenFiles()
    const builder = await RepositoryBuilder.create({ chunkBytes: CHUNK })
    const built = await builder.finish(builder.tree(files))
    const chunk = files['file3']?.subarray(CHUNK, 2 * CHUNK) ?? Buffer.alloc(0)
    await loseSector(built, builder.id(chunk))
    const target = targetDirectory()
    const { report, errors } = await restore(built, { target, environment })
    assert.equal(errors.length, 1)
    assert.match(errors[0] ?? '', /^\/file3: /)
    assert.equal(report.isComplete, false)
    for (const [name, bytes] of Object.entries(files)) {
      assert.equal(existsSync(join(target, name)), name !== 'file3')
      if (name !== 'file3') assert.ok(readFileSync(join(target, name)).equals(bytes), name)
    }
  })

  test('B13: a part of a directory that cannot be read costs what is in it only', async () => {
    const many = Array.from({ length: 6000 }, (_, i) => [`a/${i}`, Buffer.alloc(0)] as const)
    const files = { ...Object.fromEntries(many), 'b/file': noise(100, 1) }
    const built = await buildRepository({ files })
    await loseMetadata(built)
    const target = targetDirectory()
    const { report, errors } = await restore(built, { target, environment })
    // Once for each part that is in the sector's segment.
    assert.deepEqual([...new Set(errors)], ['/a: cannot load: input/output error'])
    assert.equal(report.isComplete, false)
    assert.ok(readdirSync(join(target, 'a')).length > 100)
    assert.ok(readFileSync(join(target, 'b/file')).equals(files['b/file']))
  })

  test('R6: another copy of a damaged chunk is used', async () => {
    const files: Record<string, Buffer> = { ...tenFiles(), large: noise(30 * CHUNK, 99) }
    const builder = await RepositoryBuilder.create({ chunkBytes: CHUNK })
    const root = builder.tree(files)
    const chunks = [files['file3'], files['large']].map(
      (bytes) => bytes?.subarray(CHUNK, 2 * CHUNK) ?? Buffer.alloc(0),
    )
    await builder.closePack()
    for (const chunk of chunks) builder.blob(chunk, { again: true })
    const built = await builder.finish(root)
    for (const chunk of chunks) await damageBlob(built, builder.id(chunk), 1)
    const target = targetDirectory()
    const { errors } = await restore(built, { target, environment })
    assert.deepEqual(errors, [])
    for (const [name, bytes] of Object.entries(files)) {
      assert.ok(readFileSync(join(target, name)).equals(bytes), name)
    }
  })

  test('R6: a large file that misses a chunk is taken back and named', async () => {
    const builder = await RepositoryBuilder.create({ chunkBytes: CHUNK })
    const large = noise(50 * CHUNK, 5)
    const built = await builder.finish(builder.tree({ large, other: noise(CHUNK, 6) }))
    await damageBlob(built, builder.id(large.subarray(20 * CHUNK, 21 * CHUNK)), 1)
    const target = targetDirectory()
    const { errors } = await restore(built, { target, environment })
    assert.match(errors.join(), /^\/large: blob [0-9a-f]{8} is damaged/)
    assert.equal(existsSync(join(target, 'large')), false)
    assert.equal(existsSync(join(target, 'other')), true)
    assert.deepEqual(temporaryNames(target), [])
  })

  test('R6: a missing pack and a pack that is cut off are told per file', async () => {
    const builder = await RepositoryBuilder.create({ chunkBytes: CHUNK, packBytes: 1 })
    const files = tenFiles()
    const built = await builder.finish(builder.tree(files))
    const backend = built.backend as MemoryBackend
    const data = [...backend.files].filter(
      ([path, bytes]) => path.startsWith('packs/') && bytes.length > CHUNK,
    )
    const [first, second] = data
    assert.ok(first && second)
    backend.files.delete(first[0])
    backend.files.set(second[0], second[1].slice(0, 200_000))
    const target = targetDirectory()
    const { errors } = await restore(built, { target, environment })
    assert.ok(errors.length >= 1 && errors.length <= 2, errors.join('\n'))
    for (const [name, bytes] of Object.entries(files)) {
      const isNamed = errors.some((error) => error.startsWith(`/${name}:`))
      assert.equal(existsSync(join(target, name)), !isNamed)
      if (!isNamed) assert.ok(readFileSync(join(target, name)).equals(bytes))
    }
  })
})

describe('restoreSnapshot() of data that is not what it says', () => {
  test('R6 M17: a blob stored under the id of another is never written (P2)', async () => {
    const builder = await RepositoryBuilder.create({ verify: false })
    const right = Buffer.from('what belongs there')
    const wrong = Buffer.from('what stands there.')
    builder.blob(Buffer.from('other'))
    builder.blob(wrong, { as: builder.id(right) })
    const built = await builder.finish(builder.tree({ right, other: Buffer.from('other') }))
    const target = targetDirectory()
    const { errors } = await restore(built, { target })
    assert.match(errors.join(), /^\/right: .*its bytes do not have its id/)
    assert.equal(existsSync(join(target, 'right')), false)
    assert.equal(existsSync(join(target, 'other')), true)
  })

  test('the second name of a file stands in for a first one that is lost', async () => {
    const builder = await RepositoryBuilder.create()
    const lost = Buffer.alloc(36)
    lost.set(noise(32, 4))
    lost.writeUInt32LE(4, 32)
    const link = { type: 'file' as const, linkGroup: 3n }
    const built = await builder.finish(
      builder.tree({
        'd/a': { ...link, size: 4, content: lost },
        'd/b': { ...link, bytes: Buffer.from('b') },
        'd/c': { ...link, bytes: Buffer.from('b') },
        d: { type: 'directory', mode: 0o555 },
      }),
    )
    const target = targetDirectory()
    const { errors, items } = await restore(built, { target })
    assert.deepEqual(errors.length, 1)
    assert.equal(readFileSync(join(target, 'd/c'), 'utf8'), 'b')
    assert.equal(statSync(join(target, 'd/c')).ino, statSync(join(target, 'd/b')).ino)
    assert.equal(statSync(join(target, 'd')).mode & 0o777, 0o555)
    assert.equal(Math.floor(statSync(join(target, 'd')).mtimeMs), 1_700_000_000_123)
    assert.equal(items.filter((item) => item.endsWith(' /d')).length, 1)
  })
})

describe('restoreSnapshot() of damaged trees', () => {
  test('R6: a directory that is missing is named, its siblings are restored', async () => {
    const builder = await RepositoryBuilder.create()
    const lost = { id: noise(32, 9), height: 0 }
    const built = await builder.finish(
      builder.directory([
        builder.entry('a', Buffer.from('a')),
        builder.entry('lost', { type: 'directory', subtree: lost }),
        builder.entry('z', Buffer.from('z')),
      ]),
    )
    const target = targetDirectory()
    const { errors } = await restore(built, { target })
    assert.match(errors.join(), /^\/lost: cannot read directory/)
    assert.equal(readFileSync(join(target, 'z'), 'utf8'), 'z')
  })

  test('lengths that do not add up and a missing content list are told', async () => {
    const builder = await RepositoryBuilder.create()
    const references = builder.references(Buffer.from('twelve bytes'))
    const wrong = Buffer.from(references)
    wrong.writeUInt32LE(11, 32)
    const built = await builder.finish(
      builder.tree({
        long: { type: 'file', size: 99, content: references },
        short: { type: 'file', size: 3, content: references },
        length: { type: 'file', size: 11, content: wrong },
        list: { type: 'file', size: 9_000_000, contentList: { id: noise(32, 1), height: 1 } },
        good: Buffer.from('good'),
      }),
    )
    const target = targetDirectory()
    const { errors } = await restore(built, { target })
    assert.deepEqual(errors.map((error) => error.slice(0, error.indexOf(':'))).sort(), [
      '/length',
      '/list',
      '/long',
      '/short',
    ])
    assert.equal(readFileSync(join(target, 'good'), 'utf8'), 'good')
    assert.deepEqual(temporaryNames(target), [])
  })
})
