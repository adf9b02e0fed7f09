import { expect, test } from 'vitest'
import { BLOB_TYPE } from '../../../src/format/constants.ts'
import { encodeXattrs } from '../../../src/format/xattrs.ts'
import { MemoryBackend } from '../../../src/storage/memory/memory-backend.ts'
import { RepositoryBuilder } from '../../support/repository-builder.ts'
import {
  addSession,
  build,
  buildFull,
  check,
  checkUnlocked,
  filesOf,
  noise,
  snapshotAgain,
  textOf,
} from './check-support.ts'

test('checkRepository() finds nothing in a sound repository, with and without its data', async () => {
  const { backend } = await buildFull()
  for (const readData of [undefined, { kind: 'all' as const }]) {
    const report = await check(backend, { readData })
    expect(textOf(report)).toBe('')
    expect(report.summary).toEqual({
      num_errors: 0,
      broken_packs: [],
      suggest_repair_index: false,
      suggest_prune: false,
    })
    expect(report.snapshotCount).toBe(2)
    expect(report.packsRead).toBe(readData === undefined ? 0 : filesOf(backend, 'packs').length)
  }
})

test('checkRepository() finds nothing wrong with attributes that lie among the trees', async () => {
  const backend = new MemoryBackend()
  const builder = await RepositoryBuilder.create({ backend })
  const xattrs = encodeXattrs([[Buffer.from('user.large'), noise(9_000, 1)]])
  const xattrsId = builder.metadataBlob(BLOB_TYPE.aux, xattrs)
  const { repository } = await builder.finish(builder.tree({ file: { type: 'file', xattrsId } }))
  expect(textOf(await checkUnlocked(repository, backend))).toBe('')
})

test('checkRepository() finds nothing in an empty repository', async () => {
  const { backend } = await build({})
  expect(textOf(await check(backend))).toBe('')
})

test('checkRepository() confirms a snapshot whose dead session left a beat', async () => {
  const fixture = await build()
  const { backend, repository } = fixture
  await snapshotAgain(fixture)
  await addSession(repository, { sessionId: repository.sessionId, isAlive: false })
  const report = await check(backend)
  expect(report.summary.num_errors).toBe(0)
  expect(textOf(report)).toContain('was not confirmed; all it needs is there')
  expect(filesOf(backend, 'sessions')).toEqual([])
  expect(textOf(await check(backend))).toBe('')
})

test('checkRepository() leaves the beat of a living session, and of a dead one without a snapshot', async () => {
  const { backend, repository } = await build()
  await addSession(repository, { sessionId: repository.sessionId, isAlive: true })
  expect(textOf(await check(backend))).toBe('')
  await addSession(repository, { sessionId: Buffer.alloc(16, 3), isAlive: false })
  const report = await check(backend)
  expect(report.summary.num_errors).toBe(0)
  expect(textOf(report)).toContain('a backup of its author removes it')
  expect(filesOf(backend, 'sessions')).toHaveLength(2)
})
