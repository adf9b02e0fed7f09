import { describe, expect, test } from 'vitest'
import { toHex } from '../../src/base/bytes.ts'
import { isCairnError } from '../../src/base/errors.ts'
import { snapshotIdOf } from '../../src/base/ids.ts'
import { Repository } from '../../src/repository/repository.ts'
import { saveSnapshot } from '../../src/repository/snapshots.ts'
import { timeOf } from '../../src/repository/time.ts'
import {
  forgetSnapshots,
  forgottenSnapshots,
  tidyTombstones,
} from '../../src/repository/tombstones.ts'
import type { Backend } from '../../src/storage/backend.ts'
import { MemoryBackend } from '../../src/storage/memory/memory-backend.ts'
import { RepositoryBuilder } from '../support/repository-builder.ts'
import { isPowerCut, PowerCutBackend } from '../support/power-cut-backend.ts'
import {
  build,
  check,
  checkUnlocked,
  copyOf,
  filesOf,
  testEnvironment,
  textOf,
} from '../engine/check/check-support.ts'

/** A repository with `count` snapshots of one small tree. */
async function withSnapshots(count: number) {
  const backend = new MemoryBackend()
  const builder = await RepositoryBuilder.create({ backend })
  const { repository } = await builder.finish(builder.tree({ a: Buffer.from('a') }))
  for (let i = 1; i < count; i++) await another(repository, i)
  await backend.flush()
  return { backend, repository }
}

async function another(repository: Repository, seconds: number): Promise<void> {
  const { snapshots, tombstones } = await repository.history()
  const content = snapshots.at(-1)?.content
  if (content === undefined) throw new Error('there is no snapshot yet')
  const seen = {
    snapshots,
    tombstones: tombstones.map(({ id }) => id),
    isSettled: () => true,
  }
  await saveSnapshot(repository, timeOf(BigInt(seconds) * 1_000_000_000n), content, seen)
}

/** Opens with keys that are derived already. */
function opened({ unlocked }: Repository, backend: Backend): Repository {
  const { clock, random, process } = testEnvironment()
  return new Repository({ backend, clock, random, process }, unlocked)
}

async function idsOf(repository: Repository): Promise<string[]> {
  return (await repository.snapshots()).map(({ id }) => id).sort()
}

describe('forgetSnapshots', () => {
  test('what is forgotten is not listed, and its body and author are kept', async () => {
    const { backend, repository } = await withSnapshots(3)
    const [first, second] = await repository.snapshots()
    if (first === undefined || second === undefined) throw new Error('too few snapshots')
    await forgetSnapshots(repository, [{ snapshot: first, replacement: second.id }])
    expect(await idsOf(repository)).not.toContain(first.id)
    expect(filesOf(backend, 'snapshots')).toHaveLength(2)
    const kept = forgottenSnapshots(await repository.tombstones()).get(first.id)
    expect(toHex(kept?.body ?? Buffer.of())).toBe(toHex(first.body))
    expect(toHex(kept?.author ?? Buffer.of())).toBe(first.author)
    expect(snapshotIdOf(kept?.replacement ?? Buffer.of())).toBe(second.id)
    expect(textOf(await check(backend))).toBe('')
  })

  test('C: a forgotten snapshot that the storage brings back stays forgotten, and is removed', async () => {
    const { backend, repository } = await withSnapshots(3)
    const [first] = await repository.snapshots()
    if (first === undefined) throw new Error('no snapshot')
    const path = `snapshots/${first.name}`
    const bytes = backend.files.get(path)
    await forgetSnapshots(repository, [{ snapshot: first }])
    if (bytes !== undefined) backend.files.set(path, bytes)
    expect(await idsOf(repository)).not.toContain(first.id)
    await tidyTombstones(repository)
    expect(backend.files.has(path)).toBe(false)
  })

  test('is never half done: after a power cut at any call nothing else is gone', async () => {
    const { backend, repository: from } = await withSnapshots(4)
    for (const mode of ['before', 'after', 'torn'] as const) {
      for (let cutAt = 0; ; cutAt++) {
        const disk = copyOf(backend)
        const repository = opened(from, new PowerCutBackend(disk, { cutAt, mode, seed: cutAt }))
        const before = await repository.snapshots()
        const finished = await forgetSnapshots(
          repository,
          before.slice(0, 2).map((snapshot) => ({ snapshot })),
        ).then(
          () => true,
          (error: unknown) => {
            if (!isPowerCut(error)) throw error
            return false
          },
        )
        const after = opened(from, disk)
        const ids = await idsOf(after)
        for (const { id } of before.slice(2)) expect(ids).toContain(id)
        // All or none of them, and what is gone has its tombstone.
        expect(ids.length === 2 || ids.length === 4).toBe(true)
        if (ids.length === 2) {
          const forgotten = forgottenSnapshots(await after.tombstones())
          for (const { id, body } of before.slice(0, 2)) {
            expect(toHex(forgotten.get(id)?.body ?? Buffer.of())).toBe(toHex(body))
          }
        }
        expect(textOf(await checkUnlocked(from, disk))).toBe('')
        await tidyTombstones(after)
        expect(filesOf(disk, 'snapshots')).toHaveLength(ids.length)
        if (finished) {
          expect(cutAt).toBeGreaterThan(3)
          expect(ids).toHaveLength(2)
          break
        }
      }
    }
  })

  test('needs an admin key', async () => {
    const { repository } = await withSnapshots(2)
    const reader = Object.assign(Object.create(repository) as Repository, {
      keyring: { ...repository.keyring, role: 'reader' },
    })
    const [first] = await repository.snapshots()
    if (first === undefined) throw new Error('no snapshot')
    await expect(forgetSnapshots(reader, [{ snapshot: first }])).rejects.toSatisfy((error) =>
      isCairnError(error, 'CAIRN_WRONG_SECRET'),
    )
  })
})

describe('tidyTombstones', () => {
  test('makes one tombstone of many, and power cuts at every call lose none', async () => {
    const { backend, repository } = await withSnapshots(70)
    const from = repository
    const all = await repository.snapshots()
    for (const snapshot of all.slice(0, 66)) await forgetSnapshots(repository, [{ snapshot }])
    await another(repository, 100)
    await backend.flush()
    const expected = await idsOf(repository)
    const bodies = forgottenSnapshots(await repository.tombstones())
    let step = 1
    for (let cutAt = 0; ; cutAt += step) {
      const disk = copyOf(backend)
      const cut = new PowerCutBackend(disk, { cutAt, mode: 'torn', seed: cutAt })
      const finished = await tidyTombstones(opened(from, cut)).then(
        () => true,
        (error: unknown) => {
          if (!isPowerCut(error)) throw error
          return false
        },
      )
      const after = opened(from, disk)
      expect(await idsOf(after)).toEqual(expected)
      const tombstones = await after.tombstones()
      expect([...forgottenSnapshots(tombstones).keys()].sort()).toEqual([...bodies.keys()].sort())
      expect(textOf(await checkUnlocked(from, disk))).toBe('')
      if (finished) {
        expect(tombstones).toHaveLength(1)
        break
      }
      step = cutAt < 6 ? 1 : 9
    }
  })

  test('a tombstone that is taken away is missed, merged or not', async () => {
    const { backend, snapshots, repository } = await build()
    await another(repository, 5)
    for (const snapshot of snapshots) await forgetSnapshots(repository, [{ snapshot }])
    const [tombstone] = filesOf(backend, 'retired')
    await another(repository, 6)
    if (tombstone !== undefined) backend.files.delete(tombstone)
    expect(textOf(await check(backend))).toMatch(/error: tombstone [0-9a-f]{8} is missing/)
  })
})
