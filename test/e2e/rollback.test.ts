import { cpSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { type Box, newRepository } from '../support/run-cairn.ts'

/** A repository with `count` snapshots; ids oldest first. */
async function withSnapshots(count: number): Promise<{ box: Box; ids: string[] }> {
  const box = await newRepository()
  for (let i = 0; i < count; i++) await box.succeed(['backup', '-q', box.source])
  return { box, ids: (await box.snapshots()).map(({ id }) => String(id)) }
}

/** The file of the snapshot that is in `after` and not in `before`. */
function removeFiles(box: Box, paths: readonly string[]): void {
  for (const path of paths) rmSync(join(box.repository, path))
}

test('the newest snapshot is taken away: every client that saw it says so, until it is accepted', async () => {
  const { box } = await withSnapshots(1)
  const before = box.repositoryFiles('snapshots')
  // Nobody but this run saw it.
  await box.succeed(['backup', '-q', '--no-cache', box.source])
  removeFiles(
    box,
    box.repositoryFiles('snapshots').filter((path) => !before.includes(path)),
  )
  const listed = await box.succeed(['snapshots', '--no-cache'])
  expect(listed.stderr).toMatch(/snapshot [0-9a-f]{8} is missing \(it was here before\)/)
  const check = await box.run(['check'])
  expect(check.code).toBe(20)
  expect(check.stderr).toContain("accept the loss with 'cairn accept'")
  await box.succeed(['restore', 'latest', '-t', join(box.path, 'out')])
  const shown = await box.run(['accept', '--json'])
  expect(shown.code).toBe(20)
  const { missing } = JSON.parse(shown.stdout)
  expect(missing).toHaveLength(1)
  expect((await box.run(['accept', 'abcdabcd'])).code).toBe(1)
  expect((await box.succeed(['accept', missing[0].id.slice(0, 8)])).stdout).toContain(
    'nothing is missing',
  )
  expect((await box.succeed(['check'])).stdout).toContain('no errors were found')
  expect((await box.succeed(['snapshots'])).stderr).toBe('')
})

test('one in the middle is taken away: the ones after it name it, without any memory', async () => {
  const { box, ids } = await withSnapshots(3)
  const fresh = { HOME: join(box.path, 'other'), XDG_STATE_HOME: join(box.path, 'nowhere') }
  for (const path of box.repositoryFiles('snapshots')) {
    const copy = join(box.path, 'copy')
    cpSync(join(box.repository, path), copy)
    rmSync(join(box.repository, path))
    const left = (await box.snapshots()).map(({ id }) => id)
    if (!left.includes(ids[1])) break
    cpSync(copy, join(box.repository, path))
  }
  expect((await box.snapshots()).map(({ id }) => id)).toEqual([ids[0], ids[2]])
  const check = await box.run(['check'], { environment: fresh })
  expect(check.code).toBe(20)
  expect(check.stderr).toContain(
    `snapshot ${ids[1]?.slice(0, 8)} is missing (named by ${ids[2]?.slice(0, 8)})`,
  )
  await box.succeed(['accept', ids[1] ?? ''])
  // Accepted for all, with memory or without.
  expect((await box.run(['check'], { environment: fresh })).code).toBe(0)
})

test('the whole repository goes back in time, and a forgotten snapshot returns without its tombstone', async () => {
  const { box, ids } = await withSnapshots(2)
  const copy = join(box.path, 'copy')
  cpSync(box.repository, copy, { recursive: true })
  await box.succeed(['forget', ids[0] ?? ''])
  await box.succeed(['backup', '-q', box.source])
  rmSync(box.repository, { recursive: true })
  cpSync(copy, box.repository, { recursive: true })
  const { stderr } = await box.succeed(['snapshots'])
  expect(stderr).toMatch(/snapshot [0-9a-f]{8} is missing/)
  expect(stderr).toMatch(/tombstone [0-9a-f]{8} is missing/)
  expect((await box.run(['check'])).code).toBe(20)
  const { missing } = JSON.parse((await box.run(['accept', '--json'])).stdout)
  expect(missing.map(({ kind }: { kind: string }) => kind).toSorted()).toEqual([
    'snapshot',
    'tombstone',
  ])
  await box.succeed(['accept', ...missing.map(({ id }: { id: string }) => id)])
  await box.succeed(['check'])
})

test('another repository in the place of one is told; a new one that was made there is not', async () => {
  const { box } = await withSnapshots(1)
  const { box: other } = await withSnapshots(1)
  rmSync(box.repository, { recursive: true })
  cpSync(other.repository, box.repository, { recursive: true })
  const { stderr } = await box.succeed(['snapshots'])
  expect(stderr).toContain('the repository is another than before')
  expect((await box.run(['check'])).code).toBe(20)
  const { missing } = JSON.parse((await box.run(['accept', '--json'])).stdout)
  await box.succeed(['accept', missing[0].id])
  expect((await box.succeed(['snapshots'])).stderr).toBe('')
  rmSync(box.repository, { recursive: true })
  await box.succeed(['init'])
  expect((await box.succeed(['snapshots'])).stderr).toBe('')
})

test('what is forgotten, re-tagged and brought back is not missed', async () => {
  const { box, ids } = await withSnapshots(3)
  await box.succeed(['forget', ids[0] ?? ''])
  await box.succeed(['tag', '--add', 'x', ids[1] ?? ''])
  await box.succeed(['undelete', ids[0] ?? ''])
  await box.succeed(['backup', '-q', box.source])
  expect((await box.succeed(['snapshots'])).stderr).toBe('')
  expect((await box.succeed(['accept'])).stdout).toBe('nothing is missing\n')
  await box.succeed(['check'])
})
