/** Several processes at one repository at the same time. */

import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { type Box, newBox, newRepository } from '../support/run-cairn.ts'

const FILES = 40
const CONTAINED = ['--pid', '--fork', '--mount-proc']
const hasContainers = spawnSync('unshare', [...CONTAINED, 'true']).status === 0

/** In a container that has the same host name, and process ids of its own. */
function runContained(box: Box, words: readonly string[]) {
  const { command, args, env } = box.command(words)
  return spawnSync('unshare', [...CONTAINED, command, ...args], { env, encoding: 'utf8' })
}

test('two backups of different trees at once: both succeed and both list', async () => {
  const box = await newRepository()
  for (const tree of ['one', 'two']) {
    for (let n = 0; n < FILES; n++) {
      // Half of it is the same in both: they race for the same blobs.
      const text = n % 2 === 0 ? `common ${n} ` : `${tree} ${n} `
      box.write(`${tree}/f${n}`, text.repeat(5000))
    }
  }
  for (let round = 0; round < 3; round++) {
    box.write('one/round', `${round}`)
    const runs = ['one', 'two'].map((tree) =>
      box.run(['backup', '--tag', tree, join('source', tree)]),
    )
    for (const { code, stderr } of await Promise.all(runs)) {
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    }
  }
  const snapshots = await box.snapshots()
  expect(snapshots).toHaveLength(6)
  expect(snapshots.some((snapshot) => snapshot.unconfirmed)).toBe(false)
  for (const { id, tags } of snapshots) {
    const { stdout } = await box.succeed(['ls', '-q', id])
    expect(stdout.split('\n').filter((line) => line.includes('/f'))).toHaveLength(FILES)
    expect(stdout).toContain(`/${tags[0]}/f7\n`)
  }
  // No two of the data are in the way of a later check.
  expect((await box.run(['check', '--read-data'])).code).toBe(0)
})

test('two that create the repository at once: one makes it, and what succeeded is there', async () => {
  const box = newBox()
  box.write('a')
  const runs = await Promise.all([box.run(['init']), box.run(['init']), box.run(['init'])])
  const codes = runs.map(({ code }) => code)
  for (const code of codes) expect([0, 1, 11]).toContain(code)
  expect(codes.filter((code) => code === 0).length).toBeLessThanOrEqual(1)
  await box.succeed(['backup', '--init', 'source'])
  expect(await box.snapshots()).toHaveLength(1)
})

test('listing while a backup runs', async () => {
  const box = await newRepository()
  await box.succeed(['backup', 'source'])
  const running = box.start(['backup', '--stdin'], { holdsInput: true })
  for (let n = 0; n < 5; n++) {
    expect(await box.snapshots()).toHaveLength(1)
    await box.succeed(['ls', 'latest'])
  }
  running.child.stdin?.end()
  expect((await running.finished).code).toBe(0)
  expect(await box.snapshots()).toHaveLength(2)
})

test.skipIf(!hasContainers)(
  'a run is not taken for dead where its process does not show, in a container of the same name',
  async () => {
    const box = await newRepository()
    const running = box.start(['backup', '--stdin'], { holdsInput: true })
    const sessions = () => box.repositoryFiles('sessions')
    while (sessions().length === 0) await new Promise((resolve) => setTimeout(resolve, 20))
    const before = sessions()
    const { status, stderr } = runContained(box, ['unlock'])
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
    expect(sessions()).toEqual(before)
    running.child.stdin?.end()
    expect((await running.finished).code).toBe(0)
    expect(sessions()).toEqual([])
  },
)
