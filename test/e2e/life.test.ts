/**
 * Three processes on one repository: backups one after the other, `forget --prune`, and `check`. No
 * snapshot is lost, no backup is refused, nobody unlocks anything (P3, P7, C7). `CAIRN_LIFE_SECONDS`
 * says for how long: 6 unless told otherwise.
 */

import { spawnSync } from 'node:child_process'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { seeded } from '../support/seeded.ts'
import { jsonLines, type Json, newRepository, summaryOf } from '../support/run-cairn.ts'

const SECONDS = Number(process.env['CAIRN_LIFE_SECONDS'] ?? 6)
const CONFLICT = 11

test(
  `P3 P7: backup, forget --prune and check together for ${SECONDS} s`,
  async () => {
    const box = await newRepository()
    const endsAt = Date.now() + SECONDS * 1000
    const random = seeded(7)
    const acknowledged: string[] = []
    const removed = new Set<string>()
    const counts = { forgets: 0, conflicts: 0, checks: 0, packsRemoved: 0 }
    const loop = async (round: (count: number) => Promise<void>) => {
      // At least once each, however slow the machine is.
      for (let count = 0; count === 0 || Date.now() < endsAt; count++) await round(count)
    }
    const backups = loop(async (count) => {
      for (let file = count === 0 ? 0 : 5; file < 8; file++) {
        const bytes = Buffer.alloc(200_000)
        for (let at = 0; at < bytes.length; at += 4) bytes.writeUInt32LE(random() * 2 ** 32, at)
        writeFileSync(join(box.source, `file-${file}`), bytes)
      }
      const done = await box.run(['backup', '--json', '--pack-size', '1', box.source])
      expect(done.code, done.stderr).toBe(0)
      acknowledged.push(summaryOf(done).snapshot_id)
    })
    const forgets = loop(async () => {
      const args = ['forget', '--keep-last', '3', '--prune', '--max-unused', '0', '--json']
      const done = await box.run(args)
      counts.forgets++
      if (done.code === CONFLICT) counts.conflicts++
      else expect(done.code, done.stderr).toBe(0)
      for (const line of jsonLines(done.stdout)) {
        const groups: Json[] = Array.isArray(line) ? line : []
        for (const group of groups) for (const one of group.remove ?? []) removed.add(one.id)
        if (line.packs_removed > 0) counts.packsRemoved += line.packs_removed
      }
    })
    const checks = loop(async () => {
      const done = await box.run(['check', '--read-data'])
      counts.checks++
      expect(done.code, `${done.stdout}${done.stderr}`).toBe(0)
    })
    await Promise.all([backups, forgets, checks])

    const found = (await box.snapshots()).map(({ id }) => id as string)
    for (const id of acknowledged) {
      expect(found.includes(id) || removed.has(id), `snapshot ${id} is lost`).toBe(true)
    }
    expect(found).toContain(acknowledged.at(-1))
    const target = join(box.path, 'target')
    for (const id of found) {
      await box.succeed(['restore', id, '-q', '-t', target])
      if (id !== acknowledged.at(-1)) rmSync(target, { recursive: true })
    }
    const compared = spawnSync('diff', ['-r', box.source, join(target, box.source)])
    expect(`${compared.stdout}${compared.stderr}`).toBe('')
    await box.succeed(['check', '--read-data'])
    expect(box.repositoryFiles('sessions')).toEqual([])
    if (SECONDS > 30) console.log({ backups: acknowledged.length, ...counts })
  },
  SECONDS * 2000 + 120_000,
)
