/** What happens between two listings of a prune, and what a run leaves that a prune has raced. */

import { join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import type { CheckReport } from '../../../src/engine/check/check-options.ts'
import { checkRepository } from '../../../src/engine/check/check.ts'
import type { FileName } from '../../../src/base/ids.ts'
import { saveMark } from '../../../src/repository/marks.ts'
import { Repository } from '../../../src/repository/repository.ts'
import { Session } from '../../../src/repository/sessions.ts'
import type { FileKind } from '../../../src/storage/backend.ts'
import { MemoryBackend } from '../../../src/storage/memory/memory-backend.ts'
import { backUp, create } from '../../support/backup-harness.ts'
import { temporaryFolder } from '../../support/temporary-folder.ts'
import {
  copyOf,
  forget,
  names,
  newProcess,
  openAgain,
  plant,
  requireRestorable,
  runPrune,
  take,
  type Taken,
} from './prune-harness.ts'

const root = temporaryFolder('cairn-prune-races-')
/** Two snapshots that share nothing. */
let base: MemoryBackend
let first: Taken
let second: Taken
let packsOfFirst: string[]

beforeAll(async () => {
  plant(join(root, 'one'), [1, 2, 3])
  plant(join(root, 'two'), [11, 12, 13])
  base = new MemoryBackend()
  await create(base)
  first = await take(base, join(root, 'one'))
  packsOfFirst = names(base, 'packs')
  second = await take(base, join(root, 'two'))
})

/** Calls `action` before, or after, the listing of this kind with this number, from 1. */
function onList(
  disk: MemoryBackend,
  { kind, at, when }: { kind: FileKind; at: number; when: 'before' | 'after' },
  action: () => Promise<void>,
): void {
  const list = disk.list.bind(disk)
  let count = 0
  disk.list = async (listed, options) => {
    const isIt = listed === kind && ++count === at
    if (isIt && when === 'before') await action()
    const files = await list(listed, options)
    if (isIt && when === 'after') await action()
    return files
  }
}

async function check(disk: MemoryBackend): Promise<CheckReport> {
  return await checkRepository({
    environment: newProcess(),
    backend: disk,
    opening: openAgain(disk),
    readData: { kind: 'all' },
  })
}

async function forgottenFirst(): Promise<MemoryBackend> {
  const disk = copyOf(base)
  await forget(await openAgain(disk), [first.id])
  return disk
}

test('a snapshot that a run takes back, which began while a prune was looking, ends no prune', async () => {
  const disk = await forgottenFirst()
  const later = copyOf(disk)
  const known = new Set(later.files.keys())
  const opened = await openAgain(later)
  const { backend, clock, random } = opened
  const process = { ...newProcess().process, bootId: 'another', isAlive: () => false }
  const writer = new Repository({ backend, clock, random, process }, opened.unlocked)
  await new Session(writer, 'writer').beat()
  await take(later, join(root, 'two'))
  const fresh = [...later.files].filter(([path]) => !known.has(path))
  const snapshot = fresh.find(([path]) => path.startsWith('snapshots/'))?.[0] ?? ''
  expect(snapshot).not.toBe('')
  // Sessions are listed; then it begins, and is done with its snapshot before those are listed.
  onList(disk, { kind: 'sessions', at: 1, when: 'after' }, async () => {
    for (const [path, bytes] of fresh) disk.files.set(path, bytes)
  })
  onList(disk, { kind: 'marks', at: 1, when: 'after' }, async () => {
    expect(disk.files.delete(snapshot)).toBe(true)
    for (const [path] of fresh) if (path.startsWith('sessions/')) disk.files.delete(path)
  })
  await runPrune(disk)
  await requireRestorable(disk, [second], join(root, 'two'))
  expect(names(disk, 'packs').filter((name) => packsOfFirst.includes(name))).toEqual([])
})

test('a prune starts anew when another forgets and removes what it is looking at', async () => {
  const disk = copyOf(base)
  // Between the snapshots, which the prune has then seen, and the packs, which it has not.
  onList(disk, { kind: 'packs', at: 1, when: 'before' }, async () => {
    const inner = copyOf(disk)
    await forget(await openAgain(inner), [first.id])
    await runPrune(inner)
    disk.files.clear()
    for (const [path, bytes] of inner.files) disk.files.set(path, bytes)
  })
  await runPrune(disk)
  await requireRestorable(disk, [second], join(root, 'two'))
  expect(names(disk, 'packs').filter((name) => packsOfFirst.includes(name))).toEqual([])
})

test('a prune names what is missing if nothing has changed while it looked', async () => {
  const disk = copyOf(base)
  for (const name of packsOfFirst) disk.files.delete(`packs/${name}`)
  await expect(runPrune(disk)).rejects.toMatchObject({ code: 'CAIRN_CORRUPT' })
})

test('check notes a pack that an index file names and nobody needs; prune drops the entry', async () => {
  const disk = await forgottenFirst()
  for (const name of packsOfFirst) disk.files.delete(`packs/${name}`)
  const report = await check(disk)
  const told = report.findings.map(({ severity, object }) => `${severity} ${object.name}`)
  expect(told.sort()).toEqual(packsOfFirst.map((name) => `note ${name}`).sort())
  expect(report.summary).toMatchObject({
    num_errors: 0,
    broken_packs: [],
    suggest_prune: true,
    suggest_repair_index: false,
  })
  await runPrune(disk)
  expect((await check(disk)).findings).toEqual([])
})

test('an intent stays as long as a pack of it is there, and then a later prune goes on from it', async () => {
  const disk = await forgottenFirst()
  // While somebody is at work who began before it, only marks are written.
  const alive = new Set<number>()
  const session = new Session(await openAgain(disk, newProcess(alive)), 'writer')
  await session.beat()
  await saveMark(await openAgain(disk), 'sweep', packsOfFirst as FileName[])
  const [intent = ''] = names(disk, 'marks')
  for (let at = 0; at < 2; at++) {
    await runPrune(disk, {}, { environment: newProcess(alive) })
    expect(names(disk, 'marks')).toContain(intent)
    expect(names(disk, 'packs')).toEqual(expect.arrayContaining(packsOfFirst))
  }
  await session.end()
  await runPrune(disk)
  expect(names(disk, 'marks')).toEqual([])
  expect(names(disk, 'packs').filter((name) => packsOfFirst.includes(name))).toEqual([])
})

test('a backup counts a pack as there that a lagging listing does not show yet', async () => {
  const disk = copyOf(base, { listsConsistently: false })
  const listed = new Set(names(disk, 'packs'))
  const list = disk.list.bind(disk)
  disk.list = async (kind, options) => {
    const files = await list(kind, options)
    return kind === 'packs' ? files.filter(({ name }) => listed.has(name)) : files
  }
  plant(join(root, 'three'), [21, 22, 23])
  let saves = 0
  const save = disk.save.bind(disk)
  disk.save = async (file, bytes, options) => {
    if (file.kind === 'snapshots') saves++
    await save(file, bytes, options)
  }
  const environment = newProcess()
  const report = await backUp(disk, join(root, 'three'), {
    environment,
    opening: openAgain(disk, environment),
  })
  expect(saves).toBe(1)
  expect(report.snapshotId).toBeDefined()
})

test('a backup misses a pack that is gone, whether or not listings lag', async () => {
  const disk = copyOf(base, { listsConsistently: false })
  const gone = names(disk, 'packs')
  let saves = 0
  const save = disk.save.bind(disk)
  disk.save = async (file, bytes, options) => {
    if (file.kind === 'snapshots' && saves++ === 0) {
      for (const name of gone) disk.files.delete(`packs/${name}`)
    }
    await save(file, bytes, options)
  }
  const taken = await take(disk, join(root, 'two'))
  expect(saves).toBe(2)
  await requireRestorable(disk, [taken], join(root, 'two'))
})
