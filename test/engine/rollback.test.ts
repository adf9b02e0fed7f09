import { expect, test } from 'vitest'
import { isCairnError } from '../../src/base/errors.ts'
import {
  acceptLosses,
  findLosses,
  type Memory,
  remembered,
  requireNothingLost,
  seenHistory,
} from '../../src/engine/rollback.ts'
import type { Repository } from '../../src/repository/repository.ts'
import { build, filesOf, forget, snapshotAgain } from './check/check-support.ts'

async function look(repository: Repository, memory: Memory | undefined) {
  const history = seenHistory(await repository.history())
  const losses = findLosses(repository, history, memory)
  return { losses, memory: remembered(repository, history, () => true, losses, memory) }
}

test('a config that goes back, and what is lost, stay remembered until accepted', async () => {
  const fixture = await build()
  const { repository, backend } = fixture
  await snapshotAgain(fixture)
  const first = await look(repository, undefined)
  expect(first.losses).toEqual([])
  expect(first.memory.snapshots).toHaveLength(2)
  const newer = { ...first.memory, configRevision: 99 }
  const newest = (await repository.snapshots()).at(-1)
  backend.files.delete(`snapshots/${newest?.name}`)
  for (let i = 0, memory = newer; i < 3; i++) {
    const again = await look(repository, memory)
    expect(again.losses.map(({ kind }) => kind)).toEqual(['config', 'snapshot'])
    memory = { ...again.memory, configRevision: again.memory.configRevision }
    expect(memory.configRevision).toBe(99)
  }
  const { losses } = await look(repository, newer)
  expect(() => requireNothingLost(losses, 'prune')).toThrow(
    /cannot prune: the config has revision 1/,
  )
  await acceptLosses(repository, losses)
  const left = await look(repository, newer)
  expect(left.losses.map(({ kind }) => kind)).toEqual(['config'])
  expect(left.memory.snapshots).toHaveLength(1)
  expect(() => requireNothingLost([], 'prune')).not.toThrow()
})

test('a tombstone that is taken away is missed by what names it, and can be accepted', async () => {
  const fixture = await build()
  const { repository, backend, snapshots } = fixture
  await snapshotAgain(fixture)
  const [oldest] = snapshots
  if (oldest === undefined) throw new Error('no snapshot')
  await forget(repository, oldest)
  await snapshotAgain(fixture)
  for (const path of filesOf(backend, 'retired')) backend.files.delete(path)
  const { losses } = await look(repository, undefined)
  expect(losses.map(({ kind }) => kind).toSorted()).toEqual(['snapshot', 'tombstone'])
  await acceptLosses(repository, losses)
  expect((await look(repository, undefined)).losses).toEqual([])
})

test('accepting needs an admin key', async () => {
  const { repository } = await build()
  const reader = Object.assign(Object.create(repository) as Repository, {
    keyring: { ...repository.keyring, role: 'reader' },
  })
  const loss = { kind: 'snapshot', id: '0'.repeat(64), message: '' } as const
  await expect(acceptLosses(reader, [loss])).rejects.toSatisfy((error) =>
    isCairnError(error, 'CAIRN_WRONG_SECRET'),
  )
})
