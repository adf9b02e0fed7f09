import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { toHex } from '../../src/base/bytes.ts'
import { errorChain } from '../../src/base/errors.ts'
import { type SnapshotId, snapshotIdOf } from '../../src/base/ids.ts'
import { findLosses, remembered, seenHistory } from '../../src/engine/rollback.ts'
import { encodeTombstone } from '../../src/format/session.ts'
import {
  type LoadOptions,
  Repository,
  type SeenTombstone,
} from '../../src/repository/repository.ts'
import type { FileCache } from '../../src/repository/tombstone-cache.ts'
import type { ByteRange, FileRef } from '../../src/storage/backend.ts'
import { MemoryBackend } from '../../src/storage/memory/memory-backend.ts'
import { RepositoryBuilder } from '../support/repository-builder.ts'
import { testEnvironment } from '../engine/check/check-support.ts'

const NONE = new Uint8Array()
/** More than are read without a cache. */
const COUNT = 20
const PER_TOMBSTONE = 3

class CountingBackend extends MemoryBackend {
  tombstonesLoaded = 0

  override async load(file: FileRef, range?: ByteRange): Promise<Uint8Array | undefined> {
    if (file.kind === 'retired') this.tombstonesLoaded++
    return await super.load(file, range)
  }
}

class MemoryCache implements FileCache {
  readonly files = new Map<string, Uint8Array>()

  readFile(name: string): Uint8Array | undefined {
    return this.files.get(name)
  }

  writeFileAtomically(name: string, bytes: Uint8Array): void {
    this.files.set(name, Uint8Array.from(bytes))
  }

  /** The one file there is. */
  get file(): [name: string, bytes: Uint8Array] {
    const [[name, bytes] = ['', NONE]] = this.files
    return [name, bytes]
  }
}

const forgottenId = (tombstone: number, at: number) =>
  Uint8Array.from({ length: 32 }, (_, i) => (tombstone * 31 + at * 7 + i * i) & 255)

const NAMED = Array.from({ length: COUNT * PER_TOMBSTONE }, (_, i) =>
  snapshotIdOf(forgottenId(Math.floor(i / PER_TOMBSTONE), i % PER_TOMBSTONE)),
)
const NOT_NAMED: SnapshotId = snapshotIdOf(Uint8Array.from({ length: 32 }, () => 9))

async function addTombstone(repository: Repository, number: number): Promise<void> {
  const forgotten = Array.from({ length: PER_TOMBSTONE }, (_, at) => {
    const snapshot = forgottenId(number, at)
    return { snapshot, replacement: NONE, body: NONE, author: NONE, aead: 0 }
  })
  const known = (await repository.seenTombstones()).map(({ id }) => id).slice(-1)
  const time = { seconds: number, nanoseconds: 0 }
  await repository.saveObject('retired', encodeTombstone({ forgotten, time, known, merged: [] }))
}

async function withTombstones(): Promise<{ backend: CountingBackend; repository: Repository }> {
  const backend = new CountingBackend()
  const builder = await RepositoryBuilder.create({ backend })
  const { repository } = await builder.finish(builder.tree({ a: Buffer.from('a') }))
  for (let number = 0; number < COUNT; number++) await addTombstone(repository, number)
  return { backend, repository }
}

/** Made once: each test has a copy of its files. */
let original: Awaited<ReturnType<typeof withTombstones>>
let backend: CountingBackend
let built: Repository
let cache: MemoryCache

beforeAll(async () => {
  original = await withTombstones()
})

beforeEach(() => {
  built = original.repository
  backend = new CountingBackend()
  for (const [path, bytes] of original.backend.files) backend.files.set(path, bytes)
  cache = new MemoryCache()
})

function plain({ id, name, byteCount, forgotten, merged, known }: SeenTombstone) {
  const ids = [id, forgotten.bytes, merged.bytes, ...known].map(toHex)
  return { name, byteCount, ids }
}

/** Another opening, with keys that are derived already. */
function openedAgain(files: FileCache | undefined = cache, unlocked = built.unlocked): Repository {
  const { clock, random, process } = testEnvironment()
  backend.tombstonesLoaded = 0
  return new Repository({ backend, clock, random, process, cache: async () => files }, unlocked)
}

async function expectAllForgotten(repository: Repository, options: LoadOptions = {}) {
  const { forgotten, tombstones, snapshots } = await repository.history(options)
  expect(NAMED.filter((id) => !forgotten.has(id))).toEqual([])
  expect(forgotten.has(NOT_NAMED)).toBe(false)
  expect(snapshots).toHaveLength(1)
  return tombstones
}

describe('a repository that has forgotten a lot', () => {
  test('is opened again without reading its tombstones', async () => {
    const first = await expectAllForgotten(openedAgain())
    expect(backend.tombstonesLoaded).toBe(COUNT)
    const again = await expectAllForgotten(openedAgain())
    expect(backend.tombstonesLoaded).toBe(0)
    expect(again.map(plain)).toEqual(first.map(plain))
  })

  test('has only those read that came since', async () => {
    await expectAllForgotten(openedAgain())
    const repository = openedAgain()
    await addTombstone(repository, COUNT)
    backend.tombstonesLoaded = 0
    expect(await expectAllForgotten(openedAgain())).toHaveLength(COUNT + 1)
    expect(backend.tombstonesLoaded).toBe(1)
    await expectAllForgotten(openedAgain())
    expect(backend.tombstonesLoaded).toBe(0)
  })

  test('has each read once for an opening, without a cache too', async () => {
    const repository = openedAgain(undefined)
    await expectAllForgotten(repository)
    await expectAllForgotten(repository)
    expect(backend.tombstonesLoaded).toBe(COUNT)
  })
})

describe('a tombstone that is in the cache', () => {
  test('is missed when the storage has lost it', async () => {
    const repository = openedAgain()
    const history = seenHistory(await repository.history())
    const memory = remembered(repository, history, () => true, [], undefined)
    const [lost] = (await repository.seenTombstones()).slice(-1)
    backend.files.delete(`retired/${lost?.name}`)
    const after = await openedAgain().history()
    expect(after.tombstones).toHaveLength(COUNT - 1)
    expect([...(lost?.forgotten ?? [])].some((id) => after.forgotten.has(snapshotIdOf(id)))).toBe(
      false,
    )
    const losses = findLosses(repository, seenHistory(after), memory)
    expect(losses.map(({ kind }) => kind)).toContain('tombstone')
  })

  test('is read, and told of, when its file has become shorter', async () => {
    await expectAllForgotten(openedAgain())
    const [path, bytes] = [...backend.files].find(([name]) => name.startsWith('retired/')) ?? [
      '',
      NONE,
    ]
    backend.files.set(path, bytes.subarray(0, bytes.length - 1))
    const damaged: string[] = []
    const onDamage: LoadOptions['onDamage'] = ({ error }) => damaged.push(errorChain(error))
    const { tombstones } = await openedAgain().history({ onDamage })
    expect(tombstones).toHaveLength(COUNT - 1)
    expect(damaged[0]).toMatch(/its bytes do not have its name/)
  })
})

describe('a cache that is', () => {
  const spoiled: readonly (readonly [string, (bytes: Uint8Array) => Uint8Array | undefined])[] = [
    ['empty', () => NONE],
    [
      'not one of tombstones',
      () => Buffer.from('not a cache of tombstones at all, and long enough for one'),
    ],
    ['cut off in its beginning', (bytes) => bytes.subarray(0, 30)],
    ['cut off at its end', (bytes) => bytes.subarray(0, bytes.length - 32)],
    ['longer', (bytes) => Buffer.concat([bytes, Buffer.alloc(32)])],
    ['without an id', (bytes) => Buffer.concat([bytes.subarray(0, 200), bytes.subarray(232)])],
    ...[0, 20, 60, 100, 150, 400].map(
      (at) =>
        [
          `changed in byte ${at}`,
          (bytes: Uint8Array) => bytes.map((byte, i) => (i === at ? byte ^ 1 : byte)),
        ] as const,
    ),
  ]
  test.each(spoiled)('%s costs time only', async (_what, spoil) => {
    await expectAllForgotten(openedAgain())
    const [name, bytes] = cache.file
    expect(bytes.length).toBeGreaterThan(COUNT * PER_TOMBSTONE * 32)
    cache.files.set(name, spoil(bytes) ?? NONE)
    await expectAllForgotten(openedAgain())
    expect(backend.tombstonesLoaded).toBe(COUNT)
    // And it is as it was.
    await expectAllForgotten(openedAgain())
    expect(backend.tombstonesLoaded).toBe(0)
  })

  test('of another repository, or of other administrators, is not believed', async () => {
    await expectAllForgotten(openedAgain())
    const other = await withTombstones()
    const ours = backend
    backend = other.backend
    await expectAllForgotten(openedAgain(cache, other.repository.unlocked))
    expect(backend.tombstonesLoaded).toBe(COUNT)
    backend = ours
    await expectAllForgotten(openedAgain())
    const { unlocked } = built
    const [author] = unlocked.box.authors
    if (author === undefined) throw new Error('there is no author')
    const added = {
      ...author,
      id: author.id.map((byte) => byte ^ 1),
      publicKey: other.repository.keyring.author.publicKey,
    }
    const box = { ...unlocked.box, authors: [...unlocked.box.authors, added] }
    await expectAllForgotten(openedAgain(cache, { ...unlocked, box }))
    expect(backend.tombstonesLoaded).toBe(COUNT)
  })

  test('not to be read or written costs time only', async () => {
    const broken: FileCache = {
      readFile: () => {
        throw new Error('input/output error')
      },
      writeFileAtomically: () => {
        throw new Error('no space left on the device')
      },
    }
    await expectAllForgotten(openedAgain(broken))
    expect(backend.tombstonesLoaded).toBe(COUNT)
  })
})
