/** What README.md shows first must work as it stands there. */

import { mkdirSync, symlinkSync } from 'node:fs'
import { expect, test } from 'vitest'
import { newBox, settle } from '../support/run-cairn.ts'

test('backup --init creates a repository, and snapshots and ls show what is in it', async () => {
  const box = newBox({ withPassword: true })
  box.write('notes.txt', 'remember')
  box.write('photos/a.jpg', 'not a picture')
  mkdirSync(`${box.source}/empty`)
  symlinkSync('notes.txt', `${box.source}/link`)
  const backup = await box.succeed(['backup', '--init', box.source])
  expect(backup.stdout).toMatch(/^created cairn repository [0-9a-f]{8} at /)
  expect(backup.stdout).toContain('Files:           2 new,     0 changed,     0 unmodified')
  expect(backup.stdout).toContain('no parent snapshot found, will read all files')
  expect(backup.stdout).toContain('cairn snapshots')
  expect(backup.stdout).toContain('cairn restore latest --target')
  expect(backup.stderr).toBe('')
  const id = /snapshot ([0-9a-f]{8}) saved/.exec(backup.stdout)?.[1] ?? 'none'

  const { stdout: table } = await box.succeed(['snapshots'])
  const lines = table.split('\n')
  expect(lines[0]).toMatch(/^ID {8}Time {17}Host {2,}Tags {2,}Paths {2,}Size$/)
  expect(lines[2]).toMatch(
    new RegExp(`^${id}  \\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d  .*${box.source}  21 B$`),
  )
  expect(lines.at(-2)).toBe('1 snapshots')

  const listing = await box.succeed(['ls', 'latest'])
  expect(listing.stdout).toMatch(new RegExp(`^snapshot ${id} of \\[${box.source}\\] at `))
  const names = ['empty', 'link', 'notes.txt', 'photos', 'photos/a.jpg']
  expect(await box.list()).toEqual(names)
})

test('a later backup names its parent and finds nothing new', async () => {
  const box = newBox()
  // By a relative path, so that /tmp, which others change, is not in the tree.
  for (let n = 0; n < 20; n++) box.write(`d${n % 4}/f${n}`, `content ${n}`)
  await box.succeed(['backup', '--init', 'source'])
  await settle()
  await box.succeed(['backup', 'source'])
  const [, first] = await box.snapshots()
  const { stdout } = await box.succeed(['backup', 'source'])
  expect(stdout).toContain(`using parent snapshot ${first.short_id}`)
  expect(stdout).toContain('Files:           0 new,     0 changed,    20 unmodified')
  expect(stdout).toMatch(/Added to the repository: 0 B +\(0 B +stored\)/)
  const [, , second] = await box.snapshots()
  expect(second.parent).toBe(first.id)
  expect(second.tree).toBe(first.tree)
})
