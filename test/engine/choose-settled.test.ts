/** Nothing is put in the place of a snapshot that its run has not confirmed. */

import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { rewriteSnapshots } from '../../src/engine/rewrite/rewrite.ts'
import { changeTags } from '../../src/engine/tag.ts'
import type { Repository } from '../../src/repository/repository.ts'
import { MemoryBackend } from '../../src/storage/memory/memory-backend.ts'
import { create } from '../support/backup-harness.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { addSession, check } from './check/check-support.ts'
import { copyOf, names, newProcess, openAgain, plant, take } from './prune/prune-harness.ts'

interface Choosing {
  readonly ids?: readonly string[]
  readonly isNamed: boolean
}
type Run = (repository: Repository, choosing: Choosing) => Promise<readonly string[]>

const root = temporaryFolder('cairn-settled-')
let base: MemoryBackend
let older: string
let newer: string

beforeAll(async () => {
  plant(join(root, 'one'), [1, 2, 3])
  base = new MemoryBackend()
  await create(base)
  older = (await take(base, join(root, 'one'))).id
  newer = (await take(base, join(root, 'one'))).id
})

const chosen = ({ ids, isNamed }: Choosing) => ({
  choose: <S extends { readonly id: string }>(all: readonly S[]) =>
    all.filter(({ id }) => ids === undefined || ids.includes(id)),
  isNamed,
})

const tag: Run = async (repository, choosing) => {
  const options = { ...chosen(choosing), change: { add: ['new'], remove: [] } }
  return (await changeTags(repository, options)).map(({ old }) => old.id)
}

const rewriteWith =
  (dryRun: boolean): Run =>
  async (repository, choosing) => {
    const { changed } = await rewriteSnapshots(repository, {
      ...chosen(choosing),
      excludes: (path) => path.endsWith('file-2'),
      countAnew: false,
      forget: true,
      dryRun,
      cacheDirectory: undefined,
    })
    return changed.map(({ id }) => id)
  }

/** As if the run of the newer one had not come to its end. */
async function unconfirmed(isAlive: boolean) {
  const disk = copyOf(base)
  const told: string[] = []
  const repository = await openAgain(disk, newProcess())
  repository.warn = (message) => void told.push(message)
  const snapshot = (await repository.snapshots()).find(({ id }) => id === newer)
  if (snapshot === undefined) throw new Error('not listed')
  await addSession(repository, { sessionId: snapshot.envelope.sessionId, isAlive })
  return { disk, repository, told }
}

describe.each([
  ['tag', tag],
  ['rewrite', rewriteWith(false)],
  ['rewrite --dry-run', rewriteWith(true)],
] as const)('%s', (_, run) => {
  test.each([
    ['a run that goes on', true],
    ['a run that was killed', false],
  ])('refuses a snapshot of %s if it is named', async (_, isAlive) => {
    const { disk, repository } = await unconfirmed(isAlive)
    const before = [...disk.files.keys()]
    await expect(run(repository, { ids: [newer], isNamed: true })).rejects.toMatchObject({
      code: 'CAIRN_CONFLICT',
      message: expect.stringMatching(/is not confirmed .* 'cairn check'/),
    })
    expect([...disk.files.keys()]).toEqual(before)
  })

  test('leaves it out of what a filter lets through, and says so', async () => {
    const { disk, repository, told } = await unconfirmed(true)
    expect(await run(repository, { isNamed: false })).toEqual([older])
    expect(told).toEqual([expect.stringMatching(`snapshot ${newer.slice(0, 8)} is not confirmed`)])
    const listed = (await (await openAgain(disk)).snapshots()).map(({ id }) => id)
    expect(listed).toContain(newer)
    expect(names(disk, 'sessions')).toHaveLength(1)
  })

  test('takes it when a check has confirmed it', async () => {
    const { disk, repository, told } = await unconfirmed(false)
    const environment = newProcess()
    await check(disk, { opening: openAgain(disk, environment), environment })
    expect(await run(repository, { ids: [newer], isNamed: true })).toEqual([newer])
    expect(told).toEqual([])
  })
})

test('tags of what a killed run had put in its place for good can be changed at once', async () => {
  const disk = copyOf(base)
  const first = await openAgain(disk, newProcess())
  await tag(first, { ids: [newer], isNamed: true })
  await addSession(first, { sessionId: first.sessionId, isAlive: false })
  const repository = await openAgain(disk, newProcess())
  const [replaced] = (await repository.snapshots()).filter(({ content }) =>
    content?.tags.includes('new'),
  )
  const change = { add: ['other'], remove: [] }
  const choosing = chosen({ ids: [replaced?.id ?? ''], isNamed: true })
  expect(await changeTags(repository, { ...choosing, change })).toHaveLength(1)
  expect(names(disk, 'sessions')).toEqual([])
})
