/** What a prune is told to do more, or less, of. */

import { join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import type { PruneSettings } from '../../../src/engine/prune/prune-options.ts'
import { MemoryBackend } from '../../../src/storage/memory/memory-backend.ts'
import { backUp, create } from '../../support/backup-harness.ts'
import { temporaryFolder } from '../../support/temporary-folder.ts'
import {
  copyOf,
  forget,
  names,
  openAgain,
  plant,
  requireRestorable,
  runPrune,
  take,
  type Taken,
} from './prune-harness.ts'

const LAZY: Partial<PruneSettings> = { maxUnused: { kind: 'unlimited' } }

const root = temporaryFolder('cairn-prune-options-')
let base: MemoryBackend
let kept: Taken[]

beforeAll(async () => {
  plant(join(root, 'one'), [1, 2, 3, 4, 5])
  plant(join(root, 'two'), [2, 4, 6])
  plant(join(root, 'three'), [8, 10])
  base = new MemoryBackend()
  await create(base)
  const first = await take(base, join(root, 'one'))
  kept = [await take(base, join(root, 'two')), await take(base, join(root, 'three'))]
  await forget(await openAgain(base), [first.id])
})

test('--max-repack-size: what would be more stays as it is', async () => {
  const full = copyOf(base)
  expect((await runPrune(full)).statistics.packfiles.repack).toBeGreaterThan(0)
  const limited = copyOf(base)
  const report = await runPrune(limited, { maxRepackBytes: 1 })
  expect(report.statistics.packfiles.repack).toBe(0)
  expect(report.bytesWritten).toBe(0)
  await requireRestorable(limited, kept, root)
})

test('--repack-small: small packs are joined where nothing else is to be done', async () => {
  const lazy = new MemoryBackend()
  await create(lazy)
  const taken: Taken[] = []
  for (const [i, name] of ['a', 'b', 'c', 'd', 'e', 'f'].entries()) {
    plant(join(root, name), [20 + i])
    taken.push(await take(lazy, join(root, name)))
  }
  const joined = copyOf(lazy)
  expect((await runPrune(lazy, LAZY)).statistics.packfiles.repack).toBe(0)
  const report = await runPrune(joined, { ...LAZY, smallPackBytes: 1 << 30 })
  expect(report.statistics.packfiles.repack).toBeGreaterThan(1)
  expect(names(joined, 'packs').length).toBeLessThan(names(lazy, 'packs').length)
  await requireRestorable(joined, taken, root)
})

test('--repack-uncompressed: what compresses becomes smaller, once', async () => {
  const disk = new MemoryBackend()
  await create(disk)
  const text = join(root, 'two')
  await backUp(disk, text, { level: undefined })
  const taken = await take(disk, text)
  const report = await runPrune(disk, { ...LAZY, repackUncompressed: true })
  expect(report.statistics.bytes.uncompressed).toBeGreaterThan(0)
  expect(report.statistics.packfiles.repack).toBeGreaterThan(0)
  await requireRestorable(disk, [taken], root)
})

test('--unsafe-recover-no-free-space: removes what nothing needs, and writes no pack', async () => {
  const disk = copyOf(base)
  const before = new Set(names(disk, 'packs'))
  await runPrune(disk, { isDiskFull: true })
  for (const name of names(disk, 'packs')) expect(before.has(name)).toBe(true)
  await requireRestorable(disk, kept, root)
})
