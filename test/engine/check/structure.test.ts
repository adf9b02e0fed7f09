/** Trees and indexes that were written wrongly, and blobs that have more than one copy. */

import { describe, expect, test } from 'vitest'
import { fileNameOf } from '../../../src/base/ids.ts'
import { encodeIndexFile, type IndexedPack } from '../../../src/format/index-file.ts'
import { PackDirectory } from '../../../src/format/directory.ts'
import { BLOB_TYPE } from '../../../src/format/constants.ts'
import { encodeMark } from '../../../src/format/session.ts'
import { encodeInner } from '../../../src/format/tree.ts'
import type { Repository } from '../../../src/repository/repository.ts'
import type { FileKind } from '../../../src/storage/backend.ts'
import { MemoryBackend } from '../../../src/storage/memory/memory-backend.ts'
import { RepositoryBuilder } from '../../support/repository-builder.ts'
import {
  addSession,
  build,
  checkUnlocked,
  errorsOf,
  filesOf,
  noise,
  snapshotAgain,
  textOf,
} from './check-support.ts'

async function builder() {
  const backend = new MemoryBackend()
  const made = await RepositoryBuilder.create({ backend, chunkBytes: 1024, packBytes: 4096 })
  return { backend, made }
}

async function indexedPacks(repository: Repository): Promise<IndexedPack[]> {
  const found: IndexedPack[] = []
  for (const { name } of await repository.backend.list('index')) {
    found.push(...((await repository.loadIndexFile(name))?.packs ?? []))
  }
  return found
}

describe('checkRepository() with a tree that was written wrongly', () => {
  const bytes = noise(3000, 5)

  test.each([
    ['a size that its parts do not have', { size: 2999 }, /its parts have 3000 bytes, not 2999/],
    ['an unknown type', { type: 9 }, /its type 9 is unknown/],
  ])('names a file with %s', async (_, wrong, message) => {
    const { backend, made } = await builder()
    const entry = { ...made.entry('wrong.bin', bytes), ...wrong }
    const inner = made.directory([entry, made.entry('x', bytes)])
    const directory = { ...made.entry('d', { type: 'directory' }), subtree: inner }
    const { repository } = await made.finish(made.directory([directory]))
    const report = await checkUnlocked(repository, backend)
    expect(textOf(report)).toMatch(message)
    expect(textOf(report)).toContain("'/d/wrong.bin'")
    expect(report.summary.num_errors).toBe(1)
  })

  test('names a file of many parts whose list does not have its size', async () => {
    const { backend, made } = await builder()
    const long = made.entry('long', noise(140 * 1024, 8))
    expect(long.contentList).toBeDefined()
    const { repository } = await made.finish(made.directory([{ ...long, size: 7 }]))
    expect(textOf(await checkUnlocked(repository, backend))).toContain('have 143360 bytes, not 7')
  })

  test('names a file whose reference has another length than the blob', async () => {
    const { backend, made } = await builder()
    const wrong = made.entry('wrong.bin', noise(1000, 6))
    const content = Buffer.from(wrong.content ?? [])
    content.writeUInt32LE(999, 32)
    const root = made.directory([{ ...wrong, content, size: 999 }])
    const { repository } = await made.finish(root)
    const report = await checkUnlocked(repository, backend, { readData: undefined })
    expect(errorsOf(report).flatMap(({ paths = [] }) => paths)).toEqual(['/wrong.bin'])
  })

  test('names entries with refused names, and goes on', async () => {
    const { backend, made } = await builder()
    const root = made.directory([made.entry('..', bytes), made.entry('a/b', bytes)])
    const { repository } = await made.finish(root)
    const report = await checkUnlocked(repository, backend)
    expect(report.summary.num_errors).toBe(2)
    expect(textOf(report)).toMatch(/its name is refused: it is a directory reference/)
  })

  test('names nodes that do not decode, and what is below them', async () => {
    const { backend, made } = await builder()
    const junk = made.metadataBlob(BLOB_TYPE.leaf, Buffer.from([1, 0xff, 0xff]))
    const bad = { ...made.entry('bad', { type: 'directory' }), subtree: { id: junk, height: 0 } }
    const { repository } = await made.finish(made.directory([bad, made.entry('good', bytes)]))
    const report = await checkUnlocked(repository, backend)
    expect(errorsOf(report).flatMap(({ paths = [] }) => paths)).toEqual(['/bad/'])
  })

  test('ends at a height that is wrong, and at counts that are', async () => {
    const { backend, made } = await builder()
    const leaf = made.directory([made.entry('a', bytes)])
    const row = { lastName: 'a', id: leaf.id, entryCount: 5, byteCount: 0 }
    const root = { id: made.metadataBlob(BLOB_TYPE.inner, encodeInner(1, [row])), height: 1 }
    const high = { ...made.entry('z', { type: 'directory' }), subtree: { ...root, height: 3 } }
    const low = { ...made.entry('y', { type: 'directory' }), subtree: root }
    const { repository } = await made.finish(made.directory([low, high]))
    const text = textOf(await checkUnlocked(repository, backend))
    expect(text).toContain("'/y': a part has 1 entries, not 5")
    expect(text).toContain('height 1 where 3 belongs')
  })

  test('walks a chain of 5,000 directories as far as the limit', async () => {
    const { backend, made } = await builder()
    let root = made.directory([])
    for (let depth = 0; depth < 5000; depth++) {
      root = made.directory([{ ...made.entry('d', { type: 'directory' }), subtree: root }])
    }
    const { repository } = await made.finish(root)
    const report = await checkUnlocked(repository, backend)
    expect(report.summary.num_errors).toBe(1)
    expect(textOf(report)).toContain('it is too deep')
  })
})

describe('checkRepository() with lost data', () => {
  test('lists affected paths up to a bound and counts the rest, for each snapshot', async () => {
    const files = Object.fromEntries(
      Array.from({ length: 250 }, (_, i) => [`d${i % 3}/f${i}`, noise(100, i + 1)]),
    )
    const fixture = await build(files)
    const { backend, repository } = fixture
    await snapshotAgain(fixture)
    for (const pack of await indexedPacks(repository)) {
      if (pack.directory.segment(0).kind === 0) backend.files.delete(`packs/${pack.name}`)
    }
    const report = await checkUnlocked(repository, backend, { readData: undefined })
    const snapshots = errorsOf(report).filter(({ object }) => object.kind === 'snapshots')
    expect(snapshots).toHaveLength(2)
    for (const { paths, morePathCount } of snapshots) {
      expect(paths).toHaveLength(100)
      expect(morePathCount).toBe(150)
    }
  })

  test('names a pack and no paths if another pack has the same blobs', async () => {
    const { backend, made } = await builder()
    const bytes = noise(1000, 5)
    const root = made.tree({ a: bytes })
    await made.closePack()
    made.blob(bytes, { again: true })
    await made.closePack()
    const { repository } = await made.finish(root)
    const [pack] = (await indexedPacks(repository)).filter((p) => p.directory.segment(0).kind === 0)
    const stored = backend.files.get(`packs/${pack?.name}`)
    stored?.fill(0, 200, 300)
    const report = await checkUnlocked(repository, backend)
    expect(report.summary.broken_packs).toEqual([pack?.name])
    expect(report.summary.num_errors).toBe(1)
  })

  test('does not confirm a snapshot that lacks something', async () => {
    const { backend, repository } = await build()
    await addSession(repository, { sessionId: repository.sessionId, isAlive: false })
    const [pack = ''] = filesOf(backend, 'packs')
    backend.files.delete(pack)
    const report = await checkUnlocked(repository, backend)
    expect(textOf(report)).toContain('not all of it was found sound')
    expect(filesOf(backend, 'sessions')).toHaveLength(1)
  })
})

describe('checkRepository() of an unconfirmed snapshot', () => {
  test('leaves it so if its tree was written wrongly', async () => {
    const { backend, made } = await builder()
    const entry = { ...made.entry('wrong.bin', noise(1000, 6)), size: 5 }
    const { repository } = await made.finish(made.directory([entry]))
    await addSession(repository, { sessionId: repository.sessionId, isAlive: false })
    await checkUnlocked(repository, backend)
    expect(filesOf(backend, 'sessions')).toHaveLength(1)
  })

  test('leaves it so while a prune is not finished', async () => {
    const { backend, repository } = await build()
    await addSession(repository, { sessionId: repository.sessionId, isAlive: false })
    const time = { seconds: 1, nanoseconds: 0 }
    const mark = encodeMark({ phase: 1, time, packs: [], sessionId: Buffer.alloc(16) })
    await repository.saveObject('marks', mark)
    const report = await checkUnlocked(repository, backend)
    expect(report.summary.num_errors).toBe(0)
    expect(textOf(report)).toContain('check again when it is')
    expect(filesOf(backend, 'sessions')).toHaveLength(1)
  })
})

/** Does something once, right before packs are listed. */
class ChangingBackend extends MemoryBackend {
  #change: (() => void) | undefined

  constructor(inner: MemoryBackend, change: (files: Map<string, Uint8Array>) => void) {
    super()
    for (const [path, bytes] of inner.files) this.files.set(path, Uint8Array.from(bytes))
    this.#change = () => change(this.files)
  }

  override async list(kind: FileKind) {
    if (kind === 'packs') this.#change?.()
    if (kind === 'packs') this.#change = undefined
    return await super.list(kind)
  }
}

describe('checkRepository() with an index that says too much', () => {
  test('takes two index files that say the same (B8)', async () => {
    const { backend, repository } = await build()
    const packs = await indexedPacks(repository)
    await repository.saveObject('index', encodeIndexFile({ superseded: [], packs }))
    expect(filesOf(backend, 'index')).toHaveLength(2)
    expect(textOf(await checkUnlocked(repository, backend))).toBe('')
    backend.files.delete(filesOf(backend, 'index')[0] ?? '')
    expect(textOf(await checkUnlocked(repository, backend))).toBe('')
  })

  test('tells a claim that the pack does not bear out, and keeps to the one it does', async () => {
    const { backend, repository } = await build()
    const [pack] = await indexedPacks(repository)
    if (pack === undefined) throw new Error('there is a pack')
    const lie = Uint8Array.from(pack.directory.bytes)
    const idAt = 8 + pack.directory.segmentCount * 20
    lie[idAt] = (lie[idAt] ?? 0) ^ 1
    const liar = { ...pack, directory: new PackDirectory(lie) }
    await repository.saveObject('index', encodeIndexFile({ superseded: [], packs: [liar] }))
    const report = await checkUnlocked(repository, backend)
    expect(report.summary.suggest_repair_index).toBe(true)
    expect(textOf(report)).toContain('its footer and the index do not agree')
    expect(errorsOf(report).filter(({ object }) => object.kind === 'snapshots')).toEqual([])
  })

  test('what only packs without an index file hold is to be named anew, and nothing pruned', async () => {
    const { backend, repository } = await build()
    for (const path of filesOf(backend, 'index')) backend.files.delete(path)
    const report = await checkUnlocked(repository, backend)
    expect(errorsOf(report)).toHaveLength(1)
    expect(textOf(report)).toMatch(/snapshot .* damaged or missing; run 'cairn repair index'/)
    expect(report.summary.suggest_repair_index).toBe(true)
    expect(report.summary.suggest_prune).toBe(false)
  })

  test('starts anew if a prune replaced index files and removed packs meanwhile', async () => {
    const { backend, repository } = await build()
    const [pack] = await indexedPacks(repository)
    if (pack === undefined) throw new Error('there is a pack')
    const absent = { ...pack, name: fileNameOf(Buffer.alloc(32, 5)) }
    const body = encodeIndexFile({ superseded: [], packs: [absent] })
    const { name } = await repository.saveObject('index', body)
    const pruned = new ChangingBackend(backend, (files) => files.delete(`index/${name}`))
    const report = await checkUnlocked(repository, pruned, { readData: undefined })
    expect(textOf(report)).toBe('')
  })

  test('names a snapshot that is listed and is not there', async () => {
    const { backend, repository } = await build()
    const [path = ''] = filesOf(backend, 'snapshots')
    const listed = await backend.list('snapshots')
    const lying = new ChangingBackend(backend, () => {})
    lying.files.delete(path)
    const list = lying.list.bind(lying)
    lying.list = async (kind) => (kind === 'snapshots' ? listed : await list(kind))
    const report = await checkUnlocked(repository, lying, { readData: undefined })
    expect(textOf(report)).toContain('it is listed and is not there')
  })

  test('tells a pack that is not there or has another length, without reading data', async () => {
    const { backend, repository } = await build()
    const [pack] = await indexedPacks(repository)
    if (pack === undefined) throw new Error('there is a pack')
    const absent = { ...pack, name: fileNameOf(Buffer.alloc(32, 5)) }
    const longer = { ...pack, byteCount: pack.byteCount + 64 }
    const packs = [absent, longer]
    await repository.saveObject('index', encodeIndexFile({ superseded: [], packs }))
    const report = await checkUnlocked(repository, backend, { readData: undefined })
    expect(report.summary.broken_packs).toEqual([pack.name])
    const notes = report.findings.filter(({ severity }) => severity === 'note')
    expect(notes.map(({ object }) => object.name)).toEqual([absent.name])
    expect(errorsOf(report).flatMap(({ paths = [] }) => paths)).toEqual([])
  })
})
