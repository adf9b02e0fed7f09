/** Clocks that are wrong, and readers that a prune does not know of. */

import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { isCairnError } from '../../../src/base/errors.ts'
import type { Environment } from '../../../src/engine/environment.ts'
import { BLOB_TYPE } from '../../../src/format/constants.ts'
import { Session } from '../../../src/repository/sessions.ts'
import { MemoryBackend } from '../../../src/storage/memory/memory-backend.ts'
import { create } from '../../support/backup-harness.ts'
import { openBlobs } from '../../support/open-blobs.ts'
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

const root = temporaryFolder('cairn-clocks-')
/** One snapshot is forgotten; of its packs some are to be removed, some emptied. */
let base: MemoryBackend
let kept: Taken

beforeAll(async () => {
  plant(join(root, 'gone'), [1, 2, 3, 4, 5, 6])
  plant(join(root, 'kept'), [2, 4])
  base = new MemoryBackend()
  await create(base)
  const gone = await take(base, join(root, 'gone'))
  kept = await take(base, join(root, 'kept'))
  await forget(await openAgain(base), [gone.id])
})

const HOUR_NS = 3_600_000_000_000n
const YEAR_HOURS = 8766

/** A process on another machine, whose wall clock is so many hours ahead. */
function ahead(hours: number): Environment & { pid: number } {
  const environment = newProcess()
  const { clock } = environment
  const wallNs = () => clock.wallNs() + BigInt(hours) * HOUR_NS
  const wrong = Object.assign(Object.create(clock) as typeof clock, { wallNs })
  const process = { ...environment.process, hostname: `ahead by ${hours}`, bootId: `${hours}` }
  return { ...environment, clock: wrong, process }
}

/** Listings may lag there: packs are marked, and swept after the grace period. */
function lagging(disk = base): MemoryBackend {
  return copyOf(disk, { listsConsistently: false })
}

describe('C15 C16: clocks that are wrong', () => {
  test.each([1, 24, 20 * YEAR_HOURS])(
    'a mark from a clock that was %i hours ahead does not ripen early',
    async (hours) => {
      const disk = lagging()
      expect((await runPrune(disk, {}, { environment: ahead(hours) })).packsMarked).toBeGreaterThan(
        0,
      )
      const before = names(disk, 'packs')
      // The same, by a clock that has been set back: no age, and not a negative one.
      expect((await runPrune(disk)).packsRemoved).toBe(0)
      expect(names(disk, 'packs')).toEqual(expect.arrayContaining(before))
      const late = ahead(hours + 25)
      expect((await runPrune(disk, {}, { environment: late })).packsRemoved).toBeGreaterThan(0)
      await requireRestorable(disk, [kept], root)
    },
  )

  test.each([-20 * YEAR_HOURS, -24, 24, 20 * YEAR_HOURS])(
    'what a backup by a clock %i hours off needs stays, whenever it is pruned',
    async (hours) => {
      const disk = copyOf(base)
      const taken = await take(disk, join(root, 'gone'), ahead(hours))
      await runPrune(disk)
      await runPrune(disk, {}, { environment: ahead(30) })
      await requireRestorable(disk, [kept, taken], root)
    },
  )

  test.each([1, 20 * YEAR_HOURS])(
    'a session whose beat is %i hours in the future is alive: nothing is swept',
    async (hours) => {
      const disk = copyOf(base)
      const session = new Session(await openAgain(disk, ahead(hours)), 'writer')
      await session.beat()
      const report = await runPrune(disk)
      expect(report.packsRemoved).toBe(0)
      expect(names(disk, 'packs')).toEqual(names(base, 'packs'))
      await session.end()
      expect((await runPrune(disk)).packsRemoved).toBeGreaterThan(0)
      await requireRestorable(disk, [kept], root)
    },
  )

  test('C7: a session elsewhere that stopped beating holds nobody up after three hours', async () => {
    const disk = copyOf(base)
    await new Session(await openAgain(disk, ahead(-2)), 'writer').beat()
    expect((await runPrune(disk)).packsRemoved).toBe(0)
    await new Session(await openAgain(disk, ahead(-4)), 'pruner').beat()
    expect((await runPrune(disk, {}, { environment: ahead(2) })).packsRemoved).toBeGreaterThan(0)
    await requireRestorable(disk, [kept], root)
  })

  test('a run by a clock days behind, that died just now, is not over: what it sent may come late', async () => {
    const disk = copyOf(base)
    const died = await openAgain(disk, ahead(-4 * 24))
    await new Session(died, 'writer').beat()
    const [beat] = names(disk, 'sessions')
    // Each takes it for dead, and tidies up.
    const taken = await take(disk, join(root, 'kept'))
    await forget(await openAgain(disk), [taken.id])
    expect(names(disk, 'sessions')).toEqual([beat])
    await take(disk, join(root, 'kept'), ahead(4 * 24))
    expect(names(disk, 'sessions')).toEqual([])
  })
})

describe('C5: somebody reads while a prune removes', () => {
  test('what was opened before gives the right bytes or an error, never others', async () => {
    const disk = copyOf(base)
    const reader = await openAgain(disk)
    const { blobs, index } = await openBlobs(reader)
    const ids: Uint8Array[] = []
    for (const name of names(disk, 'packs')) {
      const packNumber = index.packNumberOf(name)
      if (packNumber === undefined) continue
      for (const file of await disk.list('index')) {
        for (const pack of (await reader.loadIndexFile(file.name))?.packs ?? []) {
          if (pack.name !== name) continue
          for (let blob = 0; blob < pack.directory.blobCount; blob++) {
            if (pack.directory.type(blob) === BLOB_TYPE.data) ids.push(pack.directory.id(blob))
          }
        }
      }
    }
    expect(ids.length).toBeGreaterThan(5)
    expect((await runPrune(disk)).packsRemoved).toBeGreaterThan(0)
    let failed = 0
    for (const id of ids) {
      await blobs.load(id, BLOB_TYPE.data).catch((error: unknown) => {
        if (!isCairnError(error, 'CAIRN_CORRUPT')) throw error
        expect(error.cause).toBeDefined()
        failed++
      })
    }
    expect(failed).toBeGreaterThan(0)
    await requireRestorable(disk, [kept], root)
  })
})
