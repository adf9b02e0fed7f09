/** `cairn prune` and `cairn repair`, as a user meets them. */

import { rmSync, statSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { type Box, jsonLines, newRepository, summaryOf } from '../support/run-cairn.ts'
import { noise } from '../engine/prune/prune-harness.ts'

/** The packs, by path, with the largest first. */
function packsOf(box: Box): { readonly path: string; readonly byteCount: number }[] {
  return box
    .repositoryFiles('packs')
    .map((name) => join(box.repository, name))
    .map((path) => ({ path, byteCount: statSync(path).size }))
    .toSorted((a, b) => b.byteCount - a.byteCount)
}

function packBytes(box: Box): number {
  return packsOf(box).reduce((sum, { byteCount }) => sum + byteCount, 0)
}

/** Two snapshots of which the second lacks a large file, and the first is forgotten. */
async function withGarbage(): Promise<Box> {
  const box = await newRepository()
  box.write('large', noise(3_000_000, 1))
  box.write('small', noise(300_000, 2))
  const first = summaryOf(await box.succeed(['backup', '--json', 'source'])).snapshot_id
  rmSync(join(box.source, 'large'))
  await box.succeed(['backup', 'source'])
  await box.succeed(['forget', first])
  return box
}

test('prune frees what forgotten snapshots needed, says so, and leaves the rest restorable', async () => {
  const box = await withGarbage()
  const before = packBytes(box)
  const planned = summaryOf(await box.succeed(['prune', '--json', '--dry-run']))
  expect(packBytes(box)).toBe(before)
  expect(planned).toMatchObject({ dry_run: true, packs_removed: 0 })
  expect(planned.bytes.remove_total).toBeGreaterThan(2_900_000)
  const { stdout } = await box.succeed(['prune'])
  expect(stdout).toMatch(/to repack: .*\n.*this removes: .*\n.*to delete: /)
  expect(stdout).toMatch(/removed \d+ packs? of 3\.\d+ MiB/)
  expect(packBytes(box)).toBeLessThan(before - 2_900_000)
  const { stdout: checked } = await box.succeed(['check', '--read-data'])
  expect(checked).toContain('no errors were found')
  await box.succeed(['restore', 'latest', '--target', 'out'])
  const { stdout: again } = await box.succeed(['prune'])
  expect(again).toContain('nothing to remove')
})

test('a wrong value of --max-unused and of --grace is a usage error', async () => {
  const box = await newRepository()
  for (const args of [
    ['--max-unused', '101%'],
    ['--grace', '5m'],
  ]) {
    const finished = await box.run(['prune', ...args])
    expect(finished.code).toBe(2)
  }
})

test('repair index, repair packs and repair snapshots bring a damaged repository back', async () => {
  const box = await newRepository()
  box.write('large', noise(3_000_000, 1))
  await box.succeed(['backup', 'source'])
  const [largest] = packsOf(box)
  truncateSync(largest?.path ?? '', 1_500_000)
  expect((await box.run(['check'])).stderr).toContain("run 'cairn repair index'")
  await box.succeed(['repair', 'index'])
  await box.succeed(['repair', 'packs'])
  const repaired = jsonLines(
    (await box.succeed(['repair', 'snapshots', '--forget', '--json'])).stdout,
  )
  expect(repaired[0]).toMatchObject({
    message_type: 'lost',
    path: expect.stringContaining('large'),
  })
  expect(repaired.at(-1)).toMatchObject({ message_type: 'summary', snapshots_checked: 1 })
  const { stdout } = await box.succeed(['check', '--read-data'])
  expect(stdout).toContain('no errors were found')
  const { stdout: listed } = await box.succeed(['ls', 'latest'])
  expect(listed).toContain('large.cairn-damaged')
  await box.succeed(['repair', 'index'])
})
