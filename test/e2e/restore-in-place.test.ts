/** Restores over what is backed up, with `--delete`: what may go, and what must not. */

import { cpSync, existsSync, mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { newRepository } from '../support/run-cairn.ts'

const inPlace = (source: string) => ['-t', '/', '--include', source, '--delete']

test('restore --delete does not remove the repository, which its backups leave out', async () => {
  const box = await newRepository()
  const repository = join(box.source, 'below/repo')
  mkdirSync(join(box.source, 'below'))
  renameSync(box.repository, repository)
  box.write('a', 'a')
  await box.succeed(['backup', '-q', '-r', repository, box.source])
  box.write('new', 'new')
  const done = await box.succeed(['restore', '-r', repository, 'latest', ...inPlace(box.source)])
  expect(done.stderr).toContain('the repository lies inside the target and is left as it is')
  expect(existsSync(join(box.source, 'new'))).toBe(false)
  // Nor with the directory that it is in, which the snapshot does not have.
  mkdirSync(join(box.source, 'later'))
  renameSync(repository, join(box.source, 'later/repo'))
  const moved = join(box.source, 'later/repo')
  await box.succeed(['restore', '-r', moved, 'latest', ...inPlace(box.source)])
  await box.succeed(['check', '-r', moved, '--read-data'])
})

test('a restore writes nothing where its repository lies', async () => {
  const box = await newRepository()
  box.write('repo/config', 'a file of the snapshot')
  box.write('file', 'a file')
  await box.succeed(['backup', '-q', box.source])
  const there = join(box.source, 'repo')
  renameSync(there, join(box.path, 'aside'))
  cpSync(box.repository, there, { recursive: true })
  const all = ['-t', '/', '--include', box.source]
  for (const args of [all, [...all, '--delete']]) {
    const { code, stderr } = await box.run(['restore', '-r', there, 'latest', ...args])
    expect(code, stderr).toBe(3)
    expect(stderr).toContain('the repository is there')
  }
  await box.succeed(['check', '-r', there, '--read-data'])
  const inside = await box.run(['restore', 'latest', '-t', join(box.repository, 'packs/new')])
  expect(inside.code).toBe(2)
  expect(inside.stderr).toContain('it is in the repository')
  expect(existsSync(join(box.repository, 'packs/new'))).toBe(false)
})

test.each([
  ['one relative source', ['source']],
  ['several of one directory', ['source', 'other']],
])('restore --delete removes what a snapshot of %s does not have', async (_, sources) => {
  const box = await newRepository()
  box.write('kept', 'kept')
  mkdirSync(join(box.path, 'other'))
  await box.succeed(['backup', '-q', ...sources], { workingDirectory: box.path })
  box.write('new', 'new')
  writeFileSync(join(box.path, 'beside'), 'of nobody')
  await box.succeed(['restore', 'latest', '-t', box.path, '--delete'])
  expect(existsSync(join(box.source, 'new'))).toBe(false)
  expect(existsSync(join(box.source, 'kept'))).toBe(true)
  expect(existsSync(join(box.path, 'beside'))).toBe(true)
})

test('restore --delete says so where the places of the sources are not known', async () => {
  const box = await newRepository()
  box.write('kept', 'kept')
  await box.succeed(['backup', '-q', '.'], { workingDirectory: box.source })
  box.write('new', 'new')
  const { stderr } = await box.succeed(['restore', 'latest', '-t', box.source, '--delete'])
  expect(stderr).toContain('nothing is deleted')
  expect(existsSync(join(box.source, 'new'))).toBe(true)
})
