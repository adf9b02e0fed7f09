import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import type { FileName } from '../../../src/base/ids.ts'
import { repairIndex } from '../../../src/engine/repair/repair-index.ts'
import { repairSnapshots } from '../../../src/engine/repair/repair-snapshots.ts'
import { repairPacks } from '../../../src/engine/repair/repair-packs.ts'
import { MemoryBackend } from '../../../src/storage/memory/memory-backend.ts'
import { openIndex } from '../../../src/repository/open-index.ts'
import { backUp, contentsOf, create } from '../../support/backup-harness.ts'
import { withSourceFaults } from '../../support/source-faults.ts'
import { temporaryFolder } from '../../support/temporary-folder.ts'
import { check, errorsOf } from '../check/check-support.ts'
import {
  copyOf,
  forget,
  indexProblems,
  names,
  newProcess,
  openAgain,
  plant,
  requireRestorable,
  runPrune,
  take,
  type Taken,
} from '../prune/prune-harness.ts'

const root = temporaryFolder('cairn-repair-')
let base: MemoryBackend
let taken: Taken[]
/** A repository with a pack of several segments. */
let large: MemoryBackend
let largeTaken: Taken

beforeAll(async () => {
  plant(join(root, 'one'), [1, 2, 3, 4, 5])
  plant(join(root, 'two'), [2, 4, 6])
  base = new MemoryBackend()
  await create(base)
  taken = [await take(base, join(root, 'one')), await take(base, join(root, 'two'))]
  plant(join(root, 'large'), [31, 32, 33], 900_000)
  large = new MemoryBackend()
  await create(large)
  largeTaken = await take(large, join(root, 'large'), newProcess(), 8 << 20)
})

async function contextOf(disk: MemoryBackend, notices: string[] = []) {
  const environment = newProcess()
  const repository = await openAgain(disk, environment)
  const onNotice = (message: string) => notices.push(message)
  return { environment, repository, dryRun: false, onNotice, operation: {} }
}

async function mendIndex(
  disk: MemoryBackend,
  overrides: { dryRun?: boolean; readAllPacks?: boolean } = {},
) {
  return await repairIndex({ ...(await contextOf(disk)), readAllPacks: false, ...overrides })
}

async function mendPacks(disk: MemoryBackend, packs?: readonly FileName[], dryRun = false) {
  const context = await contextOf(disk)
  return await repairPacks({ ...context, dryRun, packs, level: 3, verify: true })
}

function path(kind: 'packs' | 'index', name: FileName): string {
  return `${kind}/${name}`
}

function bytesOf(disk: MemoryBackend, kind: 'packs' | 'index', name: FileName): Uint8Array {
  const bytes = disk.files.get(path(kind, name))
  if (bytes === undefined) throw new Error(`there is no ${kind}/${name}`)
  return bytes
}

function firstOf(disk: MemoryBackend, kind: 'packs' | 'index'): FileName {
  const [name] = names(disk, kind)
  if (name === undefined) throw new Error(`there is nothing in ${kind}`)
  return name
}

/** The largest pack: one of data. */
function dataPack(disk: MemoryBackend): FileName {
  const sized = names(disk, 'packs').map((name) => ({
    name,
    length: bytesOf(disk, 'packs', name).length,
  }))
  sized.sort((a, b) => b.length - a.length)
  return sized[0]?.name ?? firstOf(disk, 'packs')
}

function flip(disk: MemoryBackend, kind: 'packs' | 'index', name: FileName, at: number): void {
  const bytes = Uint8Array.from(bytesOf(disk, kind, name))
  const offset = at < 0 ? bytes.length + at : at
  bytes[offset] = (bytes[offset] ?? 0) ^ 1
  disk.files.set(path(kind, name), bytes)
}

describe('repair index', () => {
  test.each([false, true])(
    'changes no byte of a sound repository (all packs: %s)',
    async (readAllPacks) => {
      const disk = copyOf(base)
      const report = await mendIndex(disk, { readAllPacks })
      expect(disk.files).toEqual(base.files)
      expect(report).toMatchObject({ packsAdded: 0, packsDropped: 0, damagedFiles: 0 })
    },
  )

  test('B4: names all packs again when every index file is gone', async () => {
    const disk = copyOf(base)
    for (const name of names(disk, 'index')) disk.files.delete(path('index', name))
    await mendIndex(disk)
    expect(await indexProblems(disk)).toEqual([])
    await requireRestorable(disk, taken, root)
    expect(errorsOf(await check(disk, { opening: openAgain(disk) }))).toEqual([])
  })

  test('replaces an index file that is damaged, and only says so in a dry run', async () => {
    const disk = copyOf(base)
    const name = firstOf(disk, 'index')
    flip(disk, 'index', name, 200)
    const before = new Map(disk.files)
    expect((await mendIndex(disk, { dryRun: true })).damagedFiles).toBe(1)
    expect(disk.files).toEqual(before)
    await mendIndex(disk)
    expect(names(disk, 'index')).not.toContain(name)
    expect(await indexProblems(disk)).toEqual([])
    await requireRestorable(disk, taken, root)
  })

  test('drops entries of packs that are gone, and the next backup stores again what they held', async () => {
    const disk = copyOf(base)
    const name = dataPack(disk)
    disk.files.delete(path('packs', name))
    const report = await mendIndex(disk)
    expect(report.packsDropped).toBe(1)
    expect(await indexProblems(disk)).toEqual([])
    await take(disk, join(root, 'one'))
    await take(disk, join(root, 'two'))
    await requireRestorable(disk, taken, root)
  })

  test('finds segments one by one where a footer is lost', async () => {
    const disk = copyOf(base)
    for (const name of names(disk, 'index')) disk.files.delete(path('index', name))
    const name = dataPack(disk)
    flip(disk, 'packs', name, -10)
    const report = await mendIndex(disk)
    expect(report.packsSalvaged).toBe(1)
    await requireRestorable(disk, taken, root)
  })

  test('names what is left of a pack that was cut off', async () => {
    const disk = copyOf(large)
    const name = dataPack(disk)
    const bytes = bytesOf(disk, 'packs', name)
    disk.files.set(path('packs', name), bytes.slice(0, Math.floor(bytes.length * 0.7)))
    const report = await mendIndex(disk)
    expect(report).toMatchObject({ packsDropped: 1, packsAdded: 1, packsSalvaged: 1 })
    const again = await mendIndex(disk)
    expect(again).toMatchObject({ packsDropped: 0, packsAdded: 0 })
  })
})

describe('repair packs', () => {
  test('changes no byte of a sound repository', async () => {
    const disk = copyOf(base)
    const report = await mendPacks(disk)
    expect(report.damaged).toEqual([])
    expect(disk.files).toEqual(base.files)
  })

  test('keeps what is good of a damaged pack; a backup stores the rest again', async () => {
    const disk = copyOf(large)
    const name = dataPack(disk)
    flip(disk, 'packs', name, 1000)
    const planned = await mendPacks(disk, undefined, true)
    expect(bytesOf(disk, 'packs', name).length).toBeGreaterThan(0)
    const report = await mendPacks(disk)
    expect(report.damaged).toEqual([name])
    expect(report.blobsLost).toBeGreaterThan(0)
    expect(report.blobsSaved).toBeGreaterThan(0)
    expect(planned).toEqual(report)
    expect(names(disk, 'packs')).not.toContain(name)
    expect(names(disk, 'marks')).toEqual([])
    expect(await indexProblems(disk)).toEqual([])
    await take(disk, join(root, 'large'))
    await requireRestorable(disk, [largeTaken], root)
  })

  test('replaces a pack that has lost nothing but its footer', async () => {
    const disk = copyOf(base)
    const name = dataPack(disk)
    flip(disk, 'packs', name, -10)
    const report = await mendPacks(disk)
    expect(report).toMatchObject({ damaged: [name], blobsLost: 0 })
    await requireRestorable(disk, taken, root)
    expect(errorsOf(await check(disk, { opening: openAgain(disk) }))).toEqual([])
  })
})

describe('repair snapshots', () => {
  async function mend(disk: MemoryBackend, overrides: { dryRun?: boolean; forget?: boolean } = {}) {
    const lost: string[] = []
    const report = await repairSnapshots({
      ...(await contextOf(disk)),
      choose: (snapshots) => snapshots,
      forget: false,
      level: 3,
      onLost: (_snapshot, path) => lost.push(path),
      ...overrides,
    })
    return { ...report, lostPaths: lost }
  }

  /** Without a pack of data, as after `repair index`. */
  async function damaged(): Promise<MemoryBackend> {
    const disk = copyOf(base)
    disk.files.delete(path('packs', dataPack(disk)))
    await mendIndex(disk)
    return disk
  }

  test('changes no byte of a sound repository', async () => {
    const disk = copyOf(base)
    expect(await mend(disk)).toMatchObject({ checked: 2, repaired: [], lost: [] })
    expect(disk.files).toEqual(base.files)
  })

  test('extended attributes that are lost are given up, and keep nobody from pruning', async () => {
    const source = join(root, 'attributes')
    plant(source, [51, 52])
    const large = [Buffer.from('user.large'), Buffer.alloc(5000, 7)] as const
    const withLarge = (path: string) =>
      /file-51$|even$/.test(path) ? { xattrs: [large], flags: 0, problems: [] } : undefined
    const environment = withSourceFaults(newProcess(), { extended: withLarge })
    const disk = new MemoryBackend()
    await create(disk)
    const run = async () => {
      const input = { kind: 'paths' as const, paths: ['.'], workingDirectory: source }
      const opening = openAgain(disk, environment)
      return await backUp(disk, source, { environment, opening, input })
    }
    const first = await run()
    const old = names(disk, 'packs')
    // Its own trees are new, the attributes and all else as before.
    plant(source, [53, 54])
    const { snapshotId } = await run()
    await forget(await openAgain(disk), [first.snapshotId ?? ''])
    const trees = old.toSorted(
      (a, b) => bytesOf(disk, 'packs', a).length - bytesOf(disk, 'packs', b).length,
    )
    disk.files.delete(path('packs', trees[0] ?? firstOf(disk, 'packs')))
    await mendIndex(disk)
    await expect(runPrune(disk)).rejects.toMatchObject({ code: 'CAIRN_CORRUPT' })
    const report = await mend(disk, { forget: true })
    expect(report.repaired.map((one) => one.old)).toEqual([snapshotId])
    expect(report.lostPaths.toSorted()).toEqual(['/even', '/odd/file-51'])
    expect(errorsOf(await check(disk, { opening: openAgain(disk) }))).toEqual([])
    const repository = await openAgain(disk)
    const [snapshot] = await repository.snapshots()
    if (snapshot === undefined) throw new Error('no snapshot')
    expect([...(await contentsOf(repository, snapshot)).keys()].toSorted()).toEqual([
      '/even.cairn-damaged',
      '/even.cairn-damaged/file-52',
      '/even.cairn-damaged/file-54',
      '/odd',
      '/odd/file-51.cairn-damaged',
      '/odd/file-53',
    ])
    await runPrune(disk)
  })

  test('puts a snapshot in the place of a damaged one that restores and says what is lost', async () => {
    const disk = await damaged()
    const before = new Map(disk.files)
    const planned = await mend(disk, { dryRun: true })
    expect(disk.files).toEqual(before)
    const report = await mend(disk, { forget: true })
    expect(report.repaired.length).toBeGreaterThan(0)
    expect(planned.repaired.map(({ old }) => old)).toEqual(report.repaired.map(({ old }) => old))
    expect(report.lostPaths.length).toBeGreaterThan(0)
    expect(planned.lostPaths).toEqual(report.lostPaths)
    expect(errorsOf(await check(disk, { opening: openAgain(disk) }))).toEqual([])
    const repository = await openAgain(disk)
    const snapshots = await repository.snapshots()
    expect(snapshots).toHaveLength(2)
    for (const { old, new: mended } of report.repaired) {
      expect(snapshots.map(({ id }) => id)).not.toContain(old)
      const snapshot = snapshots.find(({ id }) => id === mended)
      if (snapshot === undefined) throw new Error('the repaired snapshot is not listed')
      expect(snapshot.content?.tags).toEqual(['repaired'])
      const found = await contentsOf(repository, snapshot, `${root}/`)
      const was = taken.find(({ id }) => id === old)?.contents ?? new Map<string, string>()
      const marked = [...found.keys()].filter((file) => file.endsWith('.cairn-damaged'))
      expect(marked.length).toBeGreaterThan(0)
      for (const [file, content] of found)
        if (!marked.includes(file)) expect(was.get(file)).toBe(content)
      expect(found.size).toBe(was.size)
    }
    expect(await mend(disk)).toMatchObject({ repaired: [] })
  })

  test('leaves the damaged one, which a later backup of the same data mends', async () => {
    const disk = await damaged()
    await mend(disk)
    expect(await (await openAgain(disk)).snapshots()).toHaveLength(4)
    await take(disk, join(root, 'one'))
    await take(disk, join(root, 'two'))
    await requireRestorable(disk, taken, root)
  })

  test('survives the loss of every tree but the root', async () => {
    const disk = copyOf(base)
    const repository = await openAgain(disk)
    const [snapshot] = await repository.snapshots()
    const opened = await openIndex(repository, { cacheDirectory: undefined, bulk: true })
    const rootPack = opened.index.find(snapshot?.content?.root.id ?? new Uint8Array(32))[0]
    const keep = rootPack === undefined ? '' : opened.index.pack(rootPack.packNumber).name
    for (const name of names(disk, 'packs'))
      if (name !== keep) disk.files.delete(path('packs', name))
    await mendIndex(disk)
    await mend(disk, { forget: true })
    const errors = errorsOf(await check(disk, { opening: openAgain(disk) }))
    const ids = (await repository.snapshots()).map(({ id }) => id)
    // What has lost its root stays, and is told; the others are whole in what they still say.
    expect(errors.every(({ object }) => object.name === taken[1]?.id)).toBe(true)
    expect(ids).not.toContain(taken[0]?.id)
  })
})
