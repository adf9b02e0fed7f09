import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { CairnError } from '../../../src/base/errors.ts'
import { saveMark } from '../../../src/repository/marks.ts'
import { MemoryBackend } from '../../../src/storage/memory/memory-backend.ts'
import { backUp, create } from '../../support/backup-harness.ts'
import { FaultyBackend } from '../../support/faulty-backend.ts'
import { isPowerCut, PowerCutBackend } from '../../support/power-cut-backend.ts'
import { check, errorsOf, READ_ALL } from '../check/check-support.ts'
import {
  copyOf,
  forget,
  laterProcess,
  names,
  noise,
  openAgain,
  plant,
  runPrune,
} from '../prune/prune-harness.ts'
import { everything, newTarget, runCopy } from './copy-harness.ts'

const MODES = ['before', 'after', 'torn'] as const

let root = ''
let source: MemoryBackend
let empty: { other: MemoryBackend; alike: MemoryBackend }

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'cairn-copy-'))
  plant(join(root, 'one'), [1, 2, 3])
  // More chunks than an entry holds, so that there is a chunk list.
  plant(join(root, 'one'), [4], 150_000)
  for (let i = 0; i < 400; i++) {
    mkdirSync(join(root, 'one/many'), { recursive: true })
    writeFileSync(join(root, `one/many/a-name-that-takes-some-room-${i}`), `${i % 7}`)
  }
  plant(join(root, 'two'), [2, 4, 6])
  source = new MemoryBackend()
  await create(source)
  await backUp(source, join(root, 'one'))
  await backUp(source, join(root, 'two'), { tags: ['second'], hostname: 'other' })
  await source.flush()
  empty = { other: await newTarget(), alike: await newTarget(source) }
})
afterAll(() => rmSync(root, { recursive: true, force: true }))

describe.each(['other', 'alike'] as const)('into a repository with %s ids', (kind) => {
  test('copies are restorable, byte for byte, and say what they are', async () => {
    const target = copyOf(empty[kind])
    const report = await runCopy(source, target)
    expect(report).toMatchObject({ skippedCount: 0, failed: [], refused: [], damagedCount: 0 })
    expect(await everything(target)).toEqual(await everything(source))
    const there = await (await openAgain(source)).snapshots()
    const copies = await (await openAgain(target)).snapshots()
    for (const [i, { content }] of copies.entries()) {
      expect(Buffer.from(content?.original?.id ?? []).toString('hex')).toBe(there[i]?.id)
      expect(content?.parent).toBeUndefined()
    }
    expect(
      errorsOf(await check(target, { readData: READ_ALL, opening: openAgain(target) })),
    ).toEqual([])
    expect(names(target, 'sessions')).toEqual([])
  })

  test('what was copied before is skipped, and writes nothing', async () => {
    const target = copyOf(empty[kind])
    const first = await runCopy(source, target)
    expect(first.bytesWritten).toBeGreaterThan(100_000)
    const before = [...target.files.keys()].toSorted()
    const again = await runCopy(source, target)
    expect(again).toMatchObject({ copied: [], skippedCount: 2, bytesWritten: 0 })
    expect([...target.files.keys()].toSorted()).toEqual(before)
  })

  test('a later copy reads none of the data packs whose blobs are there', async () => {
    const from = copyOf(source)
    const target = copyOf(empty[kind])
    await runCopy(from, target)
    const known = new Set(names(from, 'packs'))
    plant(join(root, 'later'), [2, 4, 6])
    writeFileSync(join(root, 'two/new'), noise(9000, 77))
    await backUp(from, join(root, 'two'))
    let packsRead = 0
    const report = await runCopy(from, target, {
      listener: { onProgress: (_done, total) => void (packsRead = total) },
    })
    rmSync(join(root, 'two/new'))
    expect(report.copied).toHaveLength(1)
    const added = names(from, 'packs').filter((name) => !known.has(name))
    expect(packsRead).toBeLessThanOrEqual(added.length)
    expect(await everything(target)).toEqual(await everything(from))
  })

  test('a damaged snapshot is named and left out; the others are copied', async () => {
    const from = copyOf(source)
    const only = (await everything(from))[1]
    for (const name of names(from, 'packs')) {
      const disk = copyOf(from)
      disk.files.delete(`packs/${name}`)
      const target = copyOf(empty[kind])
      const report = await runCopy(disk, target)
      if (report.failed.length !== 1 || report.copied.length !== 1) continue
      expect(`${report.failed[0]?.error}`).toMatch(/missing|damaged|cannot tell/)
      expect((await everything(target))[0]).toMatchObject({
        hostname: report.copied[0]?.source.content?.hostname,
      })
      if (report.copied[0]?.source.content?.hostname === 'other') {
        expect(await everything(target)).toEqual([only])
        return
      }
    }
    throw new Error('no pack was needed by the first snapshot alone')
  })

  test.each(MODES)('power cut, %s the call: the next run finishes', async (mode) => {
    const expected = await everything(source)
    for (let cutAt = 0; ; cutAt++) {
      const target = copyOf(empty[kind])
      await target.flush()
      const cut = new PowerCutBackend(target, { cutAt, mode, seed: cutAt })
      const finished = await runCopy(source, cut).then(
        () => true,
        (error: unknown) => {
          if (!isPowerCut(error)) throw error
          return false
        },
      )
      await runCopy(source, target, { environment: laterProcess() })
      expect(await everything(target), `cut at ${cutAt}`).toEqual(expected)
      expect(names(target, 'sessions')).toEqual([])
      await runPrune(target)
      expect(await everything(target)).toEqual(expected)
      if (!finished) continue
      expect(cutAt).toBeGreaterThan(8)
      break
    }
  })
})

test('equal ids: a backup shares everything with a copy, and nothing where ids differ', async () => {
  const alike = copyOf(empty.alike)
  await runCopy(source, alike)
  expect((await backUp(alike, join(root, 'two'))).dataBlobs).toBe(0)
  const other = copyOf(empty.other)
  await runCopy(source, other)
  expect((await backUp(other, join(root, 'two'))).dataBlobs).toBeGreaterThan(10)
})

test('of a new key nothing is the other repository: neither slot nor object opens there', async () => {
  const [one, two] = [await openAgain(source), await openAgain(empty.alike)]
  expect(two.keyring.ids).toEqual(one.keyring.ids)
  expect(two.keyring.current.writerSecret).not.toEqual(one.keyring.current.writerSecret)
  expect(two.keyring.current.sealPublic).not.toEqual(one.keyring.current.sealPublic)
  const mixed = copyOf(empty.alike)
  for (const name of names(source, 'snapshots')) {
    mixed.files.set(`snapshots/${name}`, source.files.get(`snapshots/${name}`) ?? Buffer.alloc(0))
  }
  expect(await (await openAgain(mixed)).snapshots()).toEqual([])
})

test('a copy that was forgotten is made again', async () => {
  const from = copyOf(source)
  const target = copyOf(empty.other)
  const { copied } = await runCopy(from, target)
  await forget(await openAgain(target), [copied[0]?.snapshot.id ?? ''])
  expect((await runCopy(from, target)).copied).toHaveLength(1)
  expect(await everything(target)).toEqual(await everything(from))
})

test('P3: what a prune has marked is stored again, also if the mark comes in between', async () => {
  const target = copyOf(empty.other)
  const first = await runCopy(source, target)
  await forget(
    await openAgain(target),
    first.copied.map(({ snapshot }) => snapshot.id),
  )
  await saveMark(await openAgain(target), 'mark', names(target, 'packs'))
  let isMarked = false
  const report = await runCopy(source, target, {
    listener: {
      // Blobs are copied by now, and nothing names them yet.
      onProgress: () => {
        if (isMarked) return
        isMarked = true
        void openAgain(target).then((one) => saveMark(one, 'mark', names(target, 'packs')))
      },
    },
  })
  expect(isMarked).toBe(true)
  expect(report.copied).toHaveLength(2)
  expect(await everything(target)).toEqual(await everything(source))
  await runPrune(target)
  expect(await everything(target)).toEqual(await everything(source))
  expect(names(target, 'marks')).toEqual([])
})

test('a failing storage ends it with its error, and nothing half is listed', async () => {
  const target = copyOf(empty.other)
  const error = new CairnError('CAIRN_STORAGE_DOWN', 'cannot reach the storage')
  await openAgain(target)
  const faulty = new FaultyBackend(target, [
    { verb: 'save', kind: 'packs', nth: 1, times: Number.POSITIVE_INFINITY, error },
  ])
  await expect(runCopy(source, faulty)).rejects.toThrow(/cannot reach/)
  expect(names(target, 'snapshots')).toEqual([])
})

test('a repository is not copied into itself', async () => {
  await expect(runCopy(source, source)).rejects.toThrow(/same repository/)
})
