/**
 * SIGKILL at random moments of a backup (A12, P7): no manual step, complete packs are not stored
 * again, every listed snapshot restores exactly. `CAIRN_KILLS=100` for the long run.
 */

import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { seeded } from '../support/seeded.ts'
import { Box } from '../support/run-cairn.ts'

const KILLS = Number(process.env['CAIRN_KILLS'] ?? 8)
let root = ''
let box: Box
let source = ''

function fill(directory: string, seed: number, files: number): void {
  const random = seeded(seed)
  mkdirSync(directory, { recursive: true })
  for (let f = 0; f < files; f++) {
    const bytes = Buffer.alloc(1000 + Math.floor(random() ** 3 * 400_000))
    for (let at = 0; at + 4 <= bytes.length; at += 4) bytes.writeUInt32LE(random() * 2 ** 32, at)
    writeFileSync(join(directory, `file-${seed}-${f}`), bytes)
  }
}

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'cairn-kill-'))
  box = new Box(root, false)
  source = box.source
  fill(join(source, 'base'), 1, 300)
})
afterAll(() => rmSync(root, { recursive: true, force: true }))

function packBytes(repository: string): number {
  return readdirSync(join(repository, 'packs'), { recursive: true, encoding: 'utf8' })
    .filter((path) => /[0-9a-f]{64}$/.test(path))
    .reduce((sum, path) => sum + statSync(join(repository, 'packs', path)).size, 0)
}

async function killedAfter(repository: string, delayMs: number): Promise<void> {
  const args = ['backup', '--pack-size', '1', '-q', '-r', repository, source]
  const { child, finished } = box.start(args)
  const timer = setTimeout(() => child.kill('SIGKILL'), delayMs)
  await finished
  clearTimeout(timer)
}

test(`A12 P7: ${KILLS} kills, then everything works by itself`, async () => {
  const repository = join(root, 'repository')
  expect((await box.run(['init', '-r', repository])).code).toBe(0)
  const random = seeded(99)
  for (let kill = 0; kill < KILLS; kill++) {
    const isNew = kill % 4 === 0
    if (isNew) fill(join(source, `kill-${kill}`), 100 + kill, 120)
    await killedAfter(repository, 250 + random() * 900)
    const complete = packBytes(repository)
    const next = await box.run(['backup', '--json', '--pack-size', '1', '-r', repository, source])
    expect(next.code, next.stderr).toBe(0)
    // The data does not compress: were more than a tenth of the complete packs stored again, the
    // packs would hold more than the source.
    const total = await sourceBytes(repository)
    expect(packBytes(repository), `kill ${kill}`).toBeLessThanOrEqual(
      total * 1.02 + complete * 0.1 + 1_000_000,
    )
  }
  // Every listed snapshot, also of a run that was killed after it had written one.
  const listed = await box.run(['snapshots', '--json', '-r', repository])
  const ids = (JSON.parse(listed.stdout) as { id: string }[]).map(({ id }) => id)
  expect(ids.length).toBeGreaterThanOrEqual(KILLS)
  for (const id of ids) {
    const target = join(root, 'each')
    const each = await box.run(['restore', id, '-r', repository, '-t', target])
    expect(each.code, each.stderr).toBe(0)
    rmSync(target, { recursive: true })
  }
  const target = join(root, 'target')
  const restore = await box.run(['restore', 'latest', '-r', repository, '-t', target])
  expect(restore.code, restore.stderr).toBe(0)
  expect(spawnSync('diff', ['-r', source, join(target, source)], { encoding: 'utf8' }).stdout).toBe(
    '',
  )
  const check = await box.run(['check', '--read-data', '-r', repository])
  expect(check.code, check.stderr).toBe(0)
})

async function sourceBytes(repository: string): Promise<number> {
  const { stdout } = await box.run(['snapshots', '--json', '-r', repository])
  const snapshots = JSON.parse(stdout) as { summary: { total_bytes_processed: number } }[]
  return Math.max(...snapshots.map(({ summary }) => summary.total_bytes_processed))
}
