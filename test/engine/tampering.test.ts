/**
 * Somebody changes what is stored (FORMAT.md 19): what a check says of it, and what still restores.
 * Never other contents than were saved. The numbers are those of group X in test/catalogue.json.
 */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { isCairnError } from '../../src/base/errors.ts'
import { PREAMBLE_BYTES } from '../../src/format/constants.ts'
import { encodeIndexFile, type IndexedPack } from '../../src/format/index-file.ts'
import { encodeMark, MARK_PHASE } from '../../src/format/session.ts'
import { encodeEnvelope } from '../../src/format/snapshot.ts'
import { saveAcceptance } from '../../src/repository/tombstones.ts'
import { addSlot } from '../../src/repository/change-keys.ts'
import { nameOf } from '../../src/repository/stored-files.ts'
import { saveMark } from '../../src/repository/marks.ts'
import { Repository } from '../../src/repository/repository.ts'
import type { Secret } from '../../src/repository/slots.ts'
import type { FileKind } from '../../src/storage/backend.ts'
import { MemoryBackend } from '../../src/storage/memory/memory-backend.ts'
import { backUp, contentsOf, create, inlineEnvironment, SECRET } from '../support/backup-harness.ts'
import { withSteadyParents } from '../support/source-faults.ts'
import { checkUnlocked, packsOfKind, textOf } from './check/check-support.ts'
import { copyOf, forget, names, plant, runPrune, take, type Taken } from './prune/prune-harness.ts'

const WRITER: Secret = { kind: 'key', bytes: new Uint8Array(32).fill(2) }
const { clock, random, process } = inlineEnvironment()

let root = ''
let base: MemoryBackend
let admin: Repository
/** The last is the writer's. */
let kept: Taken[]
let dataPacks: string[]
let metadataPacks: string[]

/** What is above the sources is the same each time: a tree of it that was lost can come again. */
function steady() {
  return withSteadyParents(inlineEnvironment(), root)
}

async function openAs(backend: MemoryBackend, secret: Secret, warnings: string[] = []) {
  const onWarning = (message: string) => warnings.push(message)
  return await Repository.open({ backend, clock, random, process }, { secret, onWarning })
}

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'cairn-tampering-'))
  plant(join(root, 'one'), [1, 2, 3])
  plant(join(root, 'two'), [2, 4, 5])
  plant(join(root, 'three'), [6, 7])
  base = new MemoryBackend()
  await create(base)
  const author = { secret: WRITER, role: 'writer', label: 'bob' } as const
  await addSlot(await openAs(base, SECRET), author)
  admin = await openAs(base, SECRET)
  const environment = steady()
  kept = []
  for (const name of ['one', 'two']) kept.push(await take(base, join(root, name), environment))
  const opening = openAs(base, WRITER)
  const { snapshotId = '' } = await backUp(base, join(root, 'three'), { environment, opening })
  const written = (await admin.snapshots()).find(({ id }) => id === snapshotId)
  if (written === undefined) throw new Error('the snapshot of the writer')
  kept.push({ id: snapshotId, contents: await contentsOf(admin, written, `${root}/`) })
  dataPacks = await packsOfKind(admin, 0)
  metadataPacks = await packsOfKind(admin, 1)
})
afterAll(() => rmSync(root, { recursive: true, force: true }))

/** Opened on another disk with the keys of the administrator, whatever became of config and keys. */
function adminOn(disk: MemoryBackend, warnings: string[] = []): Repository {
  const parts = { backend: disk, clock, random, process }
  return new Repository(parts, admin.unlocked, (message) => warnings.push(message))
}

interface Outcome {
  readonly check: string
  readonly broken: readonly string[]
  /** How many of the three snapshots restore; the others fail. */
  readonly wholeCount: number
  readonly warnings: string
}

/** Throws if anything restores with other contents than were saved, or fails in an untyped way. */
async function outcomeOf(disk: MemoryBackend): Promise<Outcome> {
  const warnings: string[] = []
  const report = await checkUnlocked(admin, disk)
  const repository = adminOn(disk, warnings)
  let wholeCount = 0
  for (const snapshot of await repository.snapshots()) {
    const saved = kept.find(({ id }) => id === snapshot.id)
    try {
      const found = await contentsOf(repository, snapshot, `${root}/`)
      expect(found).toEqual(saved?.contents)
      wholeCount++
    } catch (error) {
      if (!isCairnError(error)) throw error
    }
  }
  expect(textOf(report)).not.toMatch(/\n\s+at |undefined|\[object/)
  return {
    check: textOf(report),
    broken: report.summary.broken_packs,
    wholeCount,
    warnings: warnings.join('\n'),
  }
}

function edit(disk: MemoryBackend, path: string, change: (bytes: Buffer) => Uint8Array | void) {
  const bytes = Buffer.from(disk.files.get(path) ?? [])
  disk.files.set(path, change(bytes) ?? bytes)
}

function flip(disk: MemoryBackend, path: string, at: number): void {
  edit(disk, path, (bytes) => {
    const index = at < 0 ? bytes.length + at : at
    bytes[index] = (bytes[index] ?? 0) ^ 1
  })
}

function put(disk: MemoryBackend, kind: FileKind, bytes: Uint8Array): string {
  const name = nameOf(bytes)
  disk.files.set(`${kind}/${name}`, bytes)
  return name
}

function removeAll(disk: MemoryBackend, kind: FileKind): void {
  for (const name of names(disk, kind)) disk.files.delete(`${kind}/${name}`)
}

const nameIn = (path: string) => path.slice(path.indexOf('/') + 1)

test('untouched, all of it is sound', async () => {
  expect(await outcomeOf(copyOf(base))).toEqual({
    check: '',
    broken: [],
    wholeCount: 3,
    warnings: '',
  })
})

describe('packs', () => {
  test.each([
    ['X1: a bit of the body of a segment', PREAMBLE_BYTES + 64 + 9],
    ['X2: a bit of the header of a segment', PREAMBLE_BYTES + 9],
  ])('%s: the pack is named, snapshots without it restore', async (_, at) => {
    for (const path of [...dataPacks, ...metadataPacks]) {
      const disk = copyOf(base)
      flip(disk, path, at)
      const { broken, wholeCount, check } = await outcomeOf(disk)
      expect(broken).toEqual([nameIn(path)])
      expect(wholeCount).toBeLessThan(3)
      expect(check).toMatch(/snapshot/)
    }
  })

  test('X3: a bit of the footer or of the trailer: it is named, and everything restores', async () => {
    for (const at of [-1, -70, -64 - PREAMBLE_BYTES - 20]) {
      for (const path of dataPacks) {
        const disk = copyOf(base)
        flip(disk, path, at)
        const { broken, wholeCount } = await outcomeOf(disk)
        expect(broken).toEqual([nameIn(path)])
        expect(wholeCount).toBe(3)
      }
    }
  })

  test('X4: one preamble is zeroed, then both: the index has a third; without it the pack is lost', async () => {
    const [path = ''] = dataPacks
    const disk = copyOf(base)
    edit(disk, path, (bytes) => void bytes.fill(0, 0, PREAMBLE_BYTES))
    const front = await outcomeOf(disk)
    expect([front.broken, front.wholeCount]).toEqual([[nameIn(path)], 3])
    const trailer = 64
    edit(
      disk,
      path,
      (bytes) => void bytes.fill(0, bytes.length - trailer - 128, bytes.length - trailer),
    )
    const both = await outcomeOf(disk)
    expect([both.broken, both.wholeCount]).toEqual([[nameIn(path)], 3])
    removeAll(disk, 'index')
    const all = await outcomeOf(disk)
    expect(all.broken).toEqual([nameIn(path)])
    expect(all.wholeCount).toBeLessThan(3)
    expect(all.warnings).toMatch(new RegExp(`pack ${nameIn(path).slice(0, 8)} is in no index`))
  })

  test('X5: cut off at every 1,000th byte: it is named, and nothing is wrong', async () => {
    const [path = ''] = dataPacks
    const { length } = base.files.get(path) ?? []
    for (let at = 0; at < (length ?? 0); at += 1000) {
      const disk = copyOf(base)
      edit(disk, path, (bytes) => bytes.subarray(0, at))
      const { broken, check } = await outcomeOf(disk)
      expect(broken).toEqual([nameIn(path)])
      expect(check).not.toBe('')
    }
  })

  test('X6: bytes are appended: the length alone tells', async () => {
    const disk = copyOf(base)
    const [path = ''] = dataPacks
    edit(disk, path, (bytes) => Buffer.concat([bytes, Buffer.alloc(64)]))
    const report = await checkUnlocked(admin, disk, { readData: undefined })
    expect(report.summary.broken_packs).toEqual([nameIn(path)])
    await outcomeOf(disk)
  })

  test('X7: two are exchanged: both are named', async () => {
    const [a = '', b = ''] = dataPacks
    const disk = copyOf(base)
    disk.files.set(a, base.files.get(b) ?? Buffer.alloc(0))
    disk.files.set(b, base.files.get(a) ?? Buffer.alloc(0))
    const { broken, wholeCount } = await outcomeOf(disk)
    expect(broken).toEqual([nameIn(a), nameIn(b)].sort())
    expect(wholeCount).toBeLessThan(3)
  })

  test('X8: one comes from another repository with the same password: it is refused', async () => {
    const other = new MemoryBackend()
    await create(other)
    await take(other, join(root, 'one'))
    for (const own of names(other, 'packs')) {
      const disk = copyOf(base)
      put(disk, 'packs', other.files.get(`packs/${own}`) ?? Buffer.alloc(0))
      const { broken, wholeCount, check } = await outcomeOf(disk)
      expect([broken, wholeCount]).toEqual([[own], 3])
      expect(check).toContain('another repository')
    }
  })

  test('X10: one is deleted: it is named with what needs it, and a backup stores it again', async () => {
    for (const path of [...dataPacks, ...metadataPacks]) {
      const disk = copyOf(base)
      disk.files.delete(path)
      const { check, wholeCount } = await outcomeOf(disk)
      expect(check).toContain(nameIn(path).slice(0, 8))
      expect(wholeCount).toBeLessThan(3)
      for (const name of ['one', 'two', 'three']) {
        const opening = Promise.resolve(adminOn(disk))
        await backUp(disk, join(root, name), { environment: steady(), opening })
      }
      for (const snapshot of await adminOn(disk).snapshots()) {
        const saved = kept.find(({ id }) => id === snapshot.id)
        if (saved === undefined) continue
        expect(await contentsOf(adminOn(disk), snapshot, `${root}/`)).toEqual(saved.contents)
      }
    }
  })

  test('X33: its public key is no key, or one of few: it is refused', async () => {
    const one = Buffer.alloc(32)
    one[0] = 1
    for (const key of [Buffer.alloc(32), one, Buffer.alloc(32, 0xff)]) {
      const disk = copyOf(base)
      removeAll(disk, 'index')
      const [path = ''] = dataPacks
      edit(disk, path, (bytes) => {
        key.copy(bytes, 64)
        key.copy(bytes, bytes.length - 64 - 128 + 64)
      })
      const { broken, wholeCount } = await outcomeOf(disk)
      expect(broken).toEqual([nameIn(path)])
      expect(wholeCount).toBeLessThan(3)
    }
  })
})

describe('objects', () => {
  test('X9: one is put where others belong: it is skipped and told', async () => {
    const repository = adminOn(copyOf(base))
    const mark = await saveMark(repository, 'sweep', [])
    const marked = repository.backend as MemoryBackend
    const moves: readonly (readonly [string, FileKind])[] = [
      ...names(base, 'index').map((name) => [`index/${name}`, 'snapshots'] as const),
      ...names(base, 'snapshots').map((name) => [`snapshots/${name}`, 'index'] as const),
      [`marks/${mark.name}`, 'retired'],
      [`marks/${mark.name}`, 'snapshots'],
    ]
    for (const [path, folder] of moves) {
      const disk = copyOf(base)
      put(disk, folder, marked.files.get(path) ?? Buffer.alloc(0))
      const { wholeCount, check, warnings } = await outcomeOf(disk)
      expect(wholeCount).toBe(3)
      expect(check).toContain(`${folder}/${nameIn(path).slice(0, 8)} is damaged`)
      expect(warnings).toContain(nameIn(path).slice(0, 8))
    }
  })

  test('X13: a forgotten snapshot is put back: it stays forgotten', async () => {
    const disk = copyOf(base)
    const [first] = kept
    await forget(adminOn(disk), [first?.id ?? ''])
    for (const [path, bytes] of base.files) {
      if (path.startsWith('snapshots/')) disk.files.set(path, bytes)
    }
    const listed = (await adminOn(disk).snapshots()).map(({ id }) => id)
    expect(listed).toEqual(kept.slice(1).map(({ id }) => id))
    const report = await runPrune(disk, {}, { repository: adminOn(disk) })
    expect(report.packsRemoved).toBeGreaterThan(0)
    expect((await outcomeOf(disk)).wholeCount).toBe(2)
  })

  test('X14: the tombstone is taken away: what it forgot is missed', async () => {
    const disk = copyOf(base)
    await forget(adminOn(disk), [kept[0]?.id ?? ''])
    removeAll(disk, 'retired')
    const { check, wholeCount } = await outcomeOf(disk)
    expect(wholeCount).toBe(2)
    expect(check).toMatch(/snapshot [0-9a-f]{8} is missing \(named by/)
    await expect(runPrune(disk, {}, { repository: adminOn(disk) })).rejects.toThrow(/is missing/)
  })

  test('X21: garbage with a right name in the folder of the index: it is told, all restores', async () => {
    const disk = copyOf(base)
    for (const bytes of [Buffer.alloc(0), Buffer.alloc(5000, 7), Buffer.from('CAIRNOB1')]) {
      put(disk, 'index', bytes)
    }
    const { wholeCount, check } = await outcomeOf(disk)
    expect(wholeCount).toBe(3)
    expect(check.match(/index\/[0-9a-f]{8} is damaged/g)).toHaveLength(3)
  })

  test('X23: an index file that lies about offsets and lengths: only what it says is refused', async () => {
    for (const [at, value] of [
      [8, 0xffffffff],
      [12, 0xffffffff],
      [16, 0xffffffff],
      [20, 0],
      [0, 0xffffffff],
      [4, 1_000_000_000],
    ] as const) {
      const disk = copyOf(base)
      const repository = adminOn(disk)
      const [indexName] = names(disk, 'index')
      if (indexName === undefined) throw new Error('there is an index file')
      const packs = (await repository.loadIndexFile(indexName))?.packs ?? []
      const liars = packs.map((pack) => {
        const bytes = Buffer.from(pack.directory.bytes)
        bytes.writeUInt32LE(value, at)
        return { ...pack, directory: { bytes } } as unknown as IndexedPack
      })
      const body = encodeIndexFile({ superseded: [], packs: liars })
      await repository.saveObject('index', body)
      const { wholeCount, warnings } = await outcomeOf(disk)
      expect(wholeCount).toBe(3)
      expect(warnings).toMatch(/the entry of pack [0-9a-f]{8} is damaged/)
    }
  })

  test('X30: an old mark is put back when its packs are needed again: nothing is lost', async () => {
    for (const phase of ['mark', 'sweep'] as const) {
      const disk = copyOf(base)
      const repository = adminOn(disk)
      await saveMark(repository, phase, names(disk, 'packs'))
      await runPrune(disk, { graceMs: 0 }, { repository: adminOn(disk) })
      expect((await outcomeOf(disk)).wholeCount).toBe(3)
    }
  })

  test('X31: a mark that a writer signed counts for nothing', async () => {
    const disk = copyOf(base)
    const writer = await openAs(disk, WRITER)
    // The program itself writes none with this key: what it seals, nobody opens.
    const packs = names(disk, 'packs')
    const time = { seconds: 1, nanoseconds: 0 }
    const body = encodeMark({ phase: MARK_PHASE.sweep, time, packs, sessionId: writer.sessionId })
    await expect(writer.saveObject('marks', body)).rejects.toThrow(/may not sign this kind/)
    expect(await adminOn(disk).marks()).toEqual([])
  })

  test('X35: a snapshot that names another author is ignored and told', async () => {
    const disk = copyOf(base)
    const writer = await openAs(disk, WRITER)
    const keyring = { ...writer.keyring, authorId: admin.keyring.authorId }
    const impostor = new Repository(
      { backend: disk, clock, random, process },
      { ...writer.unlocked, keyring },
    )
    const opening = Promise.resolve(impostor)
    await expect(backUp(disk, join(root, 'three'), { opening })).rejects.toThrow(
      /not signed by the author/,
    )
    expect((await outcomeOf(disk)).wholeCount).toBe(3)
  })

  test('X36: a snapshot that names one that never was: told, and an admin can accept it', async () => {
    const disk = copyOf(base)
    const writer = await openAs(disk, WRITER)
    const [own] = (await writer.snapshots()).filter(({ id }) => id === kept[2]?.id)
    if (own === undefined) throw new Error('the snapshot of the writer')
    const never = Buffer.alloc(32, 0xee)
    await writer.saveObject('snapshots', encodeEnvelope({ ...own.envelope, previous: [never] }))
    const check = async () => textOf(await checkUnlocked(admin, disk))
    expect(await check()).toMatch(/snapshot eeeeeeee is missing \(named by/)
    const prune = async () => await runPrune(disk, {}, { repository: adminOn(disk) })
    await expect(prune()).rejects.toThrow(/snapshot eeeeeeee is missing/)
    await saveAcceptance(adminOn(disk), { snapshots: [never], tombstones: [] })
    await prune()
    expect(await check()).toBe('')
    expect(await adminOn(disk).snapshots()).toHaveLength(4)
  })
})

describe('config and keys', () => {
  test('X16: the config is changed: the revision before it counts, and it is told', async () => {
    const edits: readonly (readonly [string, string])[] = [
      ['"rev":', '"rev":9'],
      ['"features":{"read":[]', '"features":{"read":["x"]'],
      ['"seal":"', '"seal":"ab'],
      ['"slots":[', '"slots":["' + 'ab'.repeat(32) + '",'],
    ]
    for (const [from, to] of edits) {
      for (const name of names(base, 'config')) {
        const disk = copyOf(base)
        const text = Buffer.from(base.files.get(`config/${name}`) ?? []).toString()
        put(disk, 'config', Buffer.from(text.replace(from, to)))
        const warnings: string[] = []
        const repository = await openAs(disk, SECRET, warnings)
        expect(repository.unlocked.configName).toBe(admin.unlocked.configName)
        expect(warnings.join('\n')).toMatch(/not in force|cannot be used/)
      }
    }
  })

  test('X17: a slot of somebody else’s keys, with a password that he knows, opens nothing', async () => {
    const theirs: Secret = { kind: 'key', bytes: new Uint8Array(32).fill(66) }
    const other = new MemoryBackend()
    await create(other)
    const slot = { secret: theirs, role: 'admin', label: 'eve' } as const
    const name = await addSlot(await openAs(other, SECRET), slot)
    const disk = copyOf(base)
    disk.files.set(`keys/${name}`, other.files.get(`keys/${name}`) ?? Buffer.alloc(0))
    await expect(openAs(disk, theirs)).rejects.toMatchObject({ code: 'CAIRN_WRONG_SECRET' })
    // Listed in a config that he has changed: what it vouches for does not fit.
    const config = admin.unlocked.configName
    const text = Buffer.from(base.files.get(`config/${config}`) ?? []).toString()
    put(disk, 'config', Buffer.from(text.replace('"slots":[', `"slots":["${name}",`)))
    await expect(openAs(disk, theirs)).rejects.toSatisfy((error) => isCairnError(error))
    const warnings: string[] = []
    await openAs(disk, SECRET, warnings)
    expect(warnings.join('\n')).toContain(`key ${name.slice(0, 8)} is not listed`)
  })

  test('X19 X20: any changed byte of a slot: that slot opens nothing, the others do', async () => {
    const slots = await Promise.all(
      names(base, 'keys').map(async (name) => {
        const disk = copyOf(base)
        disk.files.delete(`keys/${name}`)
        const opensWithout = await openAs(disk, WRITER).then(
          () => true,
          () => false,
        )
        return { name, secret: opensWithout ? SECRET : WRITER }
      }),
    )
    const writers = slots.find(({ secret }) => secret === WRITER)
    const path = `keys/${writers?.name ?? ''}`
    const { length } = base.files.get(path) ?? []
    for (let at = 0; at < length - 1; at += 13) {
      const bytes = Buffer.from(base.files.get(path) ?? [])
      bytes[at] = bytes[at] === 0x41 ? 0x42 : 0x41
      for (const isRenamed of [false, true]) {
        const disk = copyOf(base)
        if (isRenamed) put(disk, 'keys', bytes)
        else disk.files.set(path, bytes)
        if (isRenamed) disk.files.delete(path)
        await expect(openAs(disk, WRITER)).rejects.toSatisfy((error) => isCairnError(error))
      }
    }
    const disk = copyOf(base)
    flip(disk, path, 300)
    const warnings: string[] = []
    await openAs(disk, SECRET, warnings)
    expect(warnings.join('\n')).toContain(nameIn(path).slice(0, 8))
  })
})

test('X28: a file with the bytes of a tree, or of a snapshot, is only a file', async () => {
  const disk = copyOf(base)
  const repository = adminOn(disk)
  const [snapshot] = await repository.snapshots()
  const { openIndex } = await import('../../src/repository/open-index.ts')
  const { BlobReader } = await import('../../src/repository/blob-reader.ts')
  const { index } = await openIndex(repository, { cacheDirectory: undefined, bulk: true })
  const id = snapshot?.content?.root.id ?? new Uint8Array()
  const leaf = await new BlobReader(repository, index).load(id, 2)
  const source = join(root, 'disguised')
  plant(source, [1])
  writeFileSync(join(source, 'leaf'), leaf)
  writeFileSync(join(source, 'snapshot'), snapshot?.body ?? '')
  const { snapshotId } = await backUp(disk, source, { opening: Promise.resolve(adminOn(disk)) })
  const found = (await adminOn(disk).snapshots()).find((one) => one.id === snapshotId)
  if (found === undefined) throw new Error('the snapshot')
  const contents = await contentsOf(adminOn(disk), found, source)
  expect([...contents.keys()].filter((path) => /\/(leaf|snapshot)$/.test(path))).toHaveLength(2)
  const again = await openIndex(adminOn(disk), { cacheDirectory: undefined, bulk: true })
  const types = new Set(again.index.find(id).map(({ type }) => type))
  expect([...types]).toEqual([2])
  expect((await adminOn(disk).snapshots()).length).toBe(4)
})
