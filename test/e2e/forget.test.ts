import { appendFileSync, chmodSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { type Box, type Json, newRepository } from '../support/run-cairn.ts'

/** Five snapshots, a day apart; ids oldest first. */
async function five(): Promise<{ box: Box; ids: string[] }> {
  const box = await newRepository()
  for (let day = 1; day <= 5; day++) {
    const time = `2025-03-0${day} 01:00:00`
    const tag = day === 1 ? ['--tag', 'first'] : []
    await box.succeed(['backup', '-q', '--host', 'h', '--time', time, ...tag, box.source])
  }
  return { box, ids: (await box.snapshots()).map(({ id }) => String(id)) }
}

async function listed(box: Box): Promise<string[]> {
  return (await box.snapshots()).map(({ id }) => String(id))
}

test('a policy: dry run, JSON, text, and what is left', async () => {
  const { box, ids } = await five()
  const policy = ['--keep-daily', '2', '--keep-tag', 'first']
  const { stdout } = await box.succeed(['forget', '-n', '--json', ...policy])
  const [group] = JSON.parse(stdout) as Json[]
  expect(group).toMatchObject({ host: 'h', paths: [box.source], tags: null })
  expect(group.keep.map(({ id }: Json) => id)).toEqual([ids[4], ids[3], ids[0]])
  expect(group.remove.map(({ id }: Json) => id)).toEqual([ids[2], ids[1]])
  expect(group.reasons.map(({ matches }: Json) => matches)).toEqual([
    ['daily snapshot'],
    ['daily snapshot'],
    ['has tags [first]'],
  ])
  expect(group.reasons[0].counters).toEqual({ daily: 1 })
  expect(await listed(box)).toEqual(ids)
  const text = (await box.succeed(['forget', ...policy])).stdout
  expect(text).toContain('Applying Policy: keep 2 daily snapshots and all snapshots with tags')
  expect(text).toMatch(/keep 3 snapshots:\n[^]*Reasons[^]*remove 2 snapshots:/)
  expect(text).toContain('forgot 2 snapshots')
  expect(await listed(box)).toEqual([ids[0], ids[3], ids[4]])
  expect((await box.succeed(['check'])).stdout).toContain('no errors were found')
  expect(await box.list(ids[4])).toEqual(['a.txt'])
})

test('ids: only those, and a second time they are not there', async () => {
  const { box, ids } = await five()
  const finished = await box.succeed(['forget', '--json', ids[1] ?? '', 'latest'])
  expect(finished.stdout).toBe('')
  expect(await listed(box)).toEqual([ids[0], ids[2], ids[3]])
  expect((await box.run(['forget', ids[1] ?? ''])).code).toBe(1)
  expect(box.repositoryFiles('snapshots')).toHaveLength(3)
})

test('refuses an empty policy, a policy with ids, emptying a group, and what is no count', async () => {
  const { box, ids } = await five()
  expect((await box.run(['forget'])).code).toBe(2)
  expect((await box.run(['forget', '--keep-last', '0'])).code).toBe(2)
  expect((await box.run(['forget', '--keep-last', '1', ids[0] ?? ''])).code).toBe(2)
  expect((await box.run(['forget', '--keep-last', 'x'])).code).toBe(2)
  expect((await box.run(['forget', '--unsafe-allow-remove-all'])).code).toBe(2)
  const emptied = await box.run(['forget', '--keep-tag', 'nowhere'])
  expect(emptied.code).toBe(1)
  expect(emptied.stderr).toContain("refusing to forget the last snapshot of host 'h'")
  expect(await listed(box)).toEqual(ids)
  await box.succeed(['forget', '-l', 'unlimited'])
  expect(await listed(box)).toEqual(ids)
  await box.succeed(['forget', '--unsafe-allow-remove-all', '--host', 'h'])
  expect(await listed(box)).toEqual([])
})

test('groups: host and paths unless said otherwise', async () => {
  const { box, ids } = await five()
  await box.succeed(['backup', '-q', '--host', 'other', box.source])
  await box.succeed(['forget', '--keep-last', '1'])
  expect((await box.snapshots()).map(({ hostname }) => hostname)).toEqual(['h', 'other'])
  await box.succeed(['forget', '--keep-last', '1', '--group-by', ''])
  expect((await box.snapshots()).map(({ hostname }) => hostname)).toEqual(['other'])
  expect(await listed(box)).not.toContain(ids[4])
})

test('a damaged snapshot is named once, however often it is looked at', async () => {
  const { box } = await five()
  const damaged = join(box.repository, box.repositoryFiles('snapshots')[0] ?? '')
  chmodSync(damaged, 0o600)
  appendFileSync(damaged, 'x')
  const { stderr } = await box.succeed(['forget', '--keep-last', '2'])
  expect(stderr.match(/is damaged and left out/g)).toHaveLength(1)
})
