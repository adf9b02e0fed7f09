import { expect, test } from 'vitest'
import { recover } from '../../src/engine/recover.ts'
import { findLosses, seenHistory } from '../../src/engine/rollback.ts'
import { encodeMark, MARK_PHASE } from '../../src/format/session.ts'
import type { Repository } from '../../src/repository/repository.ts'
import { timeOf } from '../../src/repository/time.ts'
import type { FileRef } from '../../src/storage/backend.ts'
import { MemoryBackend } from '../../src/storage/memory/memory-backend.ts'
import { RepositoryBuilder } from '../support/repository-builder.ts'
import { check, filesOf, openTest, snapshotAgain, textOf } from './check/check-support.ts'

/** Does something as soon as a snapshot has been saved. */
class HookedBackend extends MemoryBackend {
  onSnapshot: (() => Promise<void>) | undefined

  override async save(...[file, bytes, options]: Parameters<MemoryBackend['save']>) {
    await super.save(file, bytes, options)
    if (file.kind !== 'snapshots') return
    const action = this.onSnapshot
    this.onSnapshot = undefined
    await action?.()
  }
}

async function intendToSweep(repository: Repository, packs: readonly FileRef['name'][]) {
  const time = timeOf(repository.clock.wallNs())
  const { sessionId } = repository
  const body = encodeMark({ phase: MARK_PHASE.sweep, time, packs, sessionId })
  await repository.saveObject('marks', body)
}

test('a snapshot that recover takes back because of a prune is named by nobody, and not missed', async () => {
  const backend = new HookedBackend()
  const builder = await RepositoryBuilder.create({ backend })
  const { repository } = await builder.finish(builder.tree({ a: Buffer.from('a') }))
  for (const path of filesOf(backend, 'snapshots')) backend.files.delete(path)
  const packs = [...(await repository.listPacks()).keys()]
  // Between the snapshot and the last look, as a sweep would.
  backend.onSnapshot = async () => await intendToSweep(await openTest(backend), packs)
  const recovered = recover(await openTest(backend), { program: 'test' })
  await expect(recovered).rejects.toMatchObject({ code: 'CAIRN_CONFLICT' })
  expect(filesOf(backend, 'snapshots')).toEqual([])
  expect(filesOf(backend, 'sessions')).toEqual([])
  // It had not been settled, so that there is nothing to forget (FORMAT.md 14).
  expect(filesOf(backend, 'retired')).toEqual([])
  for (const path of filesOf(backend, 'marks')) backend.files.delete(path)
  const after = await openTest(backend)
  expect((await recover(after, { program: 'test' })).snapshot).toBeDefined()
  await snapshotAgain({ repository: after, backend })
  expect(findLosses(after, seenHistory(await after.history()), undefined)).toEqual([])
  expect(textOf(await check(backend))).not.toMatch(/error/)
})
