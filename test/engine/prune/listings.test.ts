/**
 * A storage whose listings are wrong: prune keeps everything that a snapshot needs, and says why it
 * removes nothing (an error or a gap is never read as "nothing there").
 */

import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { CairnError, isCairnError } from '../../../src/base/errors.ts'
import type { FileInfo, FileKind, FileRef } from '../../../src/storage/backend.ts'
import { MemoryBackend } from '../../../src/storage/memory/memory-backend.ts'
import { create } from '../../support/backup-harness.ts'
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

const STORED: readonly FileKind[] = ['snapshots', 'retired', 'index', 'packs']
const KINDS: readonly FileKind[] = [...STORED, 'marks', 'sessions']

const root = temporaryFolder('cairn-listings-')
/** Four snapshots are left, of which nothing names the newest; of two forgotten ones there is much to remove. */
let base: MemoryBackend
let kept: Taken[]

beforeAll(async () => {
  plant(join(root, 'gone'), [1, 2, 3, 4, 5, 6])
  plant(join(root, 'one'), [2, 4, 8])
  plant(join(root, 'two'), [4, 6, 10])
  plant(join(root, 'three'), [12, 14])
  plant(join(root, 'four'), [16, 18])
  base = new MemoryBackend()
  await create(base)
  const gone = await take(base, join(root, 'gone'))
  kept = []
  for (const name of ['one', 'two', 'three']) kept.push(await take(base, join(root, name)))
  await forget(await openAgain(base), [gone.id])
  // A second index file and tombstone, so that a listing can lack one and have another.
  await forget(await openAgain(base), [(await take(base, join(root, 'gone'))).id])
  kept.push(await take(base, join(root, 'four')))
})

/** Listings go through `change` before anybody sees them. */
class LyingBackend extends MemoryBackend {
  change: (kind: FileKind, files: FileInfo[]) => FileInfo[] = (_kind, files) => files
  /** What is stored and yet not given. */
  withheld = (_file: FileRef): boolean => false

  override async list(...[kind, options]: Parameters<MemoryBackend['list']>) {
    return this.change(kind, await super.list(kind, options))
  }

  override async load(...[file, range, options]: Parameters<MemoryBackend['load']>) {
    return this.withheld(file) ? undefined : await super.load(file, range, options)
  }
}

function lying(): LyingBackend {
  const disk = new LyingBackend()
  for (const [path, bytes] of base.files) disk.files.set(path, bytes)
  return disk
}

function honest(disk: MemoryBackend): MemoryBackend {
  return copyOf(disk)
}

/** Undefined if it succeeded. */
async function failureOf(disk: MemoryBackend): Promise<CairnError | undefined> {
  try {
    await runPrune(disk)
    return undefined
  } catch (error) {
    if (isCairnError(error)) return error
    throw error
  }
}

async function expectNothingRemoved(disk: MemoryBackend, message: RegExp): Promise<void> {
  const before = names(disk, 'packs')
  const failure = await failureOf(disk)
  expect(failure?.message).toMatch(message)
  expect(names(disk, 'packs')).toEqual(expect.arrayContaining(before))
  expect(names(disk, 'marks')).toEqual([])
  await requireRestorable(honest(disk), kept, root)
}

test('the same with a storage that tells the truth removes something', async () => {
  const disk = lying()
  expect((await runPrune(disk)).packsRemoved).toBeGreaterThan(0)
  await requireRestorable(honest(disk), kept, root)
})

describe('B16: a file that is listed and, it says, not there', () => {
  test('each snapshot: nothing is removed, and it is named', async () => {
    for (const name of names(base, 'snapshots')) {
      const disk = lying()
      disk.withheld = (file) => file.name === name
      await expectNothingRemoved(disk, new RegExp(`lists snapshots/${name.slice(0, 8)} but`))
    }
  })

  test('once is enough', async () => {
    for (const name of names(base, 'snapshots')) {
      const disk = lying()
      let count = 0
      disk.withheld = (file) => file.name === name && count++ === 0
      await expectNothingRemoved(disk, /does not give it, so nothing was removed/)
    }
  })

  test('each tombstone, index file and pack: what snapshots need stays', async () => {
    for (const kind of ['retired', 'index', 'packs'] as const) {
      for (const name of names(base, kind)) {
        const disk = lying()
        disk.withheld = (file) => file.name === name
        await failureOf(disk)
        await requireRestorable(honest(disk), kept, root)
      }
    }
  })

  test('a snapshot that was really removed since the listing is no reason to stop', async () => {
    const disk = lying()
    const { snapshots } = await openAgain(disk).then(async (one) => await one.history())
    const newest = snapshots.at(-1)
    const list = disk.list.bind(disk)
    // Its run takes it back, as one does that is not confirmed, right after the first listing.
    let isFirst = true
    disk.list = async (kind, options) => {
      const files = await list(kind, options)
      if (kind === 'snapshots' && isFirst) {
        isFirst = false
        disk.files.delete(`snapshots/${newest?.name}`)
      }
      return files
    }
    expect((await runPrune(disk)).packsRemoved).toBeGreaterThan(0)
    await requireRestorable(honest(disk), kept.slice(0, -1), root)
  })
})

describe('a snapshot that goes between the two listings of a prune', () => {
  /** A prune of one who has seen the snapshots before; `go` makes the newest vanish after the first listing. */
  async function pruneWhile(disk: LyingBackend, go: (id: string, name: string) => Promise<void>) {
    const repository = await openAgain(disk)
    const { snapshots } = await repository.history()
    const newest = snapshots.at(-1)
    if (newest === undefined) throw new Error('there is no snapshot')
    let isFirst = true
    const list = disk.list.bind(disk)
    disk.list = async (kind, options) => {
      const files = await list(kind, options)
      if (kind === 'sessions' && isFirst) {
        isFirst = false
        await go(newest.id, newest.name)
      }
      return files
    }
    return await runPrune(disk, {}, { repository })
  }

  test('because somebody forgets it is no reason to stop', async () => {
    const disk = lying()
    const report = await pruneWhile(disk, async (id) => await forget(await openAgain(disk), [id]))
    expect(report.packsRemoved).toBeGreaterThan(0)
    await requireRestorable(honest(disk), kept.slice(0, -1), root)
  })

  test('without a tombstone ends the prune, and nothing is removed', async () => {
    const disk = lying()
    const before = names(disk, 'packs')
    const pruned = pruneWhile(disk, async (_id, name) => {
      disk.files.delete(`snapshots/${name}`)
    })
    await expect(pruned).rejects.toMatchObject({ code: 'CAIRN_CONFLICT' })
    expect(names(disk, 'packs')).toEqual(before)
  })
})

describe('B22: a listing that is not what is there', () => {
  test.each(STORED)('lacks any one of %s, for once or for good', async (kind) => {
    expect(names(base, kind).length).toBeGreaterThan(1)
    for (const hidden of names(base, kind)) {
      // Nothing names the newest snapshot: only a client that saw it can miss it (test/e2e/rollback).
      const isNewest = kind === 'snapshots' && (await newestName()) === hidden
      for (const times of [1, Number.POSITIVE_INFINITY]) {
        const disk = lying()
        let left = times
        disk.change = (listed, files) => {
          if (listed !== kind || left === 0) return files
          left--
          return files.filter(({ name }) => name !== hidden)
        }
        await failureOf(disk)
        await requireRestorable(honest(disk), isNewest ? kept.slice(0, -1) : kept, root)
      }
    }
  })

  test('lacks a snapshot that another names: nothing is removed, and it is named', async () => {
    const newest = await newestName()
    for (const hidden of names(base, 'snapshots').filter((name) => name !== newest)) {
      const disk = lying()
      disk.change = (kind, files) =>
        kind === 'snapshots' ? files.filter(({ name }) => name !== hidden) : files
      await expectNothingRemoved(disk, /snapshot [0-9a-f]{8} is missing/)
    }
  })

  test.each([2, 3])(
    'lacks a snapshot after %i listings: nothing is removed',
    async (honestCount) => {
      for (const hidden of names(base, 'snapshots')) {
        const disk = lying()
        let count = 0
        disk.change = (kind, files) => {
          if (kind !== 'snapshots' || count++ < honestCount) return files
          return files.filter(({ name }) => name !== hidden)
        }
        const before = names(disk, 'packs')
        expect((await failureOf(disk))?.message).toMatch(/is missing|is not listed any more/)
        expect(names(disk, 'packs')).toEqual(expect.arrayContaining(before))
        await requireRestorable(honest(disk), kept, root)
      }
    },
  )

  test('is out of order and names everything twice', async () => {
    const disk = lying()
    disk.change = (_kind, files) => [...files.toReversed(), ...files]
    await runPrune(disk)
    await requireRestorable(honest(disk), kept, root)
    expect((await runPrune(honest(disk))).packsRemoved).toBe(0)
  })

  test('still has what was just removed', async () => {
    const disk = lying()
    const old = new Map(
      await Promise.all(KINDS.map(async (kind) => [kind, await base.list(kind)] as const)),
    )
    disk.change = (kind, files) => {
      const there = new Set(files.map(({ name }) => name))
      return [...files, ...(old.get(kind) ?? []).filter(({ name }) => !there.has(name))]
    }
    await failureOf(disk)
    await requireRestorable(honest(disk), kept, root)
    expect(await failureOf(honest(disk))).toBeUndefined()
  })
})

describe('B23: an empty listing', () => {
  test.each(KINDS)('of %s, once, at any time, or for good', async (kind) => {
    for (let nth = 0; nth < 4; nth++) {
      for (const times of [1, Number.POSITIVE_INFINITY]) {
        const disk = lying()
        let count = 0
        disk.change = (listed, files) => {
          if (listed !== kind) return files
          const at = count++
          return at >= nth && at < nth + times ? [] : files
        }
        await failureOf(disk)
        await requireRestorable(honest(disk), kept, root)
      }
    }
  })

  test('of snapshots: nothing is removed, also where all that were there may be forgotten', async () => {
    const disk = lying()
    disk.change = (kind, files) => (kind === 'snapshots' ? [] : files)
    await expectNothingRemoved(disk, /is missing|lists packs but no snapshot/)
  })
})

test('F1: an error in the middle of any listing ends the prune with that error', async () => {
  for (const kind of KINDS) {
    for (let nth = 0; nth < 3; nth++) {
      const disk = lying()
      let count = 0
      disk.change = (listed, files) => {
        if (listed !== kind || count++ !== nth) return files
        throw new CairnError('CAIRN_STORAGE_DOWN', 'the second page of the listing failed')
      }
      const failure = await failureOf(disk)
      if (count > nth) expect(failure?.message).toContain('second page')
      await requireRestorable(honest(disk), kept, root)
    }
  }
})

async function newestName(): Promise<string | undefined> {
  return (await (await openAgain(base)).snapshots()).at(-1)?.name
}
