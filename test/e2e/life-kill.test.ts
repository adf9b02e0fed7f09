/**
 * SIGKILL at random moments of whatever changes a repository other than a backup: nothing that was
 * acknowledged is lost, nobody has to unlock anything, and the same command, run again, finishes the
 * work (P1, P3, P7). `CAIRN_KILLS=100` for the long run.
 */

import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { seeded } from '../support/seeded.ts'
import { Box, type Json, summaryOf } from '../support/run-cairn.ts'

const KILLS = Number(process.env['CAIRN_KILLS'] ?? 8)
const KEPT = 4
const OPERATIONS = [
  'forget --prune',
  'prune',
  'copy',
  'repair index',
  'key passwd',
  'repair packs',
  'repair snapshots',
  'rewrite',
] as const

const random = seeded(2024)
let root = ''
let box: Box
let other = ''
let keyFile = ''
/** Snapshots that a backup has reported and no forget was asked to remove, oldest first. */
let acknowledged: string[] = []

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'cairn-life-kill-'))
  box = new Box(root, false)
  other = join(root, 'other')
  keyFile = join(root, 'key')
})
afterAll(() => rmSync(root, { recursive: true, force: true }))

function cairn(...args: string[]) {
  return box.run(args, { environment: keysOf(args) })
}

/** The key of the other repository stays. */
function keysOf(args: readonly string[]) {
  return { CAIRN_KEY_FILE: args.includes(other) ? join(root, 'key') : keyFile }
}

/** Some files stay, some change, and none compresses. */
function write(round: number): void {
  for (let file = 0; file < 12; file++) {
    if (round > 0 && file % 4 !== round % 4) continue
    const bytes = Buffer.alloc(20_000 + Math.floor(random() * 300_000))
    for (let at = 0; at + 4 <= bytes.length; at += 4) bytes.writeUInt32LE(random() * 2 ** 32, at)
    mkdirSync(join(box.source, `d${file % 3}`), { recursive: true })
    writeFileSync(join(box.source, `d${file % 3}`, `f${file}`), bytes)
  }
}

async function backUp(round: number): Promise<void> {
  write(round)
  const done = await cairn('backup', '--json', '--pack-size', '1', box.source)
  expect(done.code, done.stderr).toBe(0)
  acknowledged.push(summaryOf(done).snapshot_id)
}

async function listed(...args: string[]): Promise<Json[]> {
  const found = await cairn('snapshots', '--json', ...args)
  expect(found.code, found.stderr).toBe(0)
  return JSON.parse(found.stdout) as Json[]
}

/** What is to be killed, after whatever gives it something to do. */
async function prepare(operation: (typeof OPERATIONS)[number]): Promise<string[]> {
  switch (operation) {
    case 'forget --prune':
      acknowledged = acknowledged.slice(-KEPT)
      return ['forget', '--keep-last', `${KEPT}`, '--prune', '--max-unused', '0']
    case 'prune': {
      const [oldest = ''] = acknowledged.splice(0, 1)
      const forgotten = await cairn('forget', oldest)
      expect(forgotten.code, forgotten.stderr).toBe(0)
      return ['prune', '--max-unused', '0', '--repack-small']
    }
    case 'copy':
      return ['copy', '-r', other, '--from-repo', box.repository, '--from-key-file', keyFile]
    case 'repair index': {
      const files = box.repositoryFiles('index')
      rmSync(join(box.repository, files[Math.floor(random() * files.length)] ?? ''))
      return ['repair', 'index', '--read-all-packs']
    }
    case 'repair packs': {
      const packs = box.repositoryFiles('packs')
      const name = packs[Math.floor(random() * packs.length)]?.split('/').at(-1) ?? ''
      return ['repair', 'packs', name]
    }
    case 'repair snapshots':
      return ['repair', 'snapshots', '--forget']
    case 'rewrite':
      return ['rewrite', '--new-host', `host-${Math.floor(random() * 1000)}`, '--forget']
    case 'key passwd': {
      const next = join(root, `key-${Math.floor(random() * 1e9)}`)
      const bytes = Buffer.from(Array.from({ length: 32 }, () => Math.floor(random() * 256)))
      writeFileSync(next, bytes.toString('hex'), { mode: 0o600 })
      return ['key', 'passwd', '--new-key-file', next]
    }
  }
}

async function killed(args: readonly string[]): Promise<void> {
  const { child, finished } = box.start(args, { environment: keysOf(args) })
  // From before it has opened anything until most of these are done.
  const timer = setTimeout(() => child.kill('SIGKILL'), 150 + random() * 900)
  await finished
  clearTimeout(timer)
}

/** After a change of keys that was killed, one of both opens; never none. */
async function findKey(args: readonly string[]): Promise<void> {
  const next = args.at(-1) ?? ''
  if ((await cairn('snapshots', '-q')).code === 0) return
  keyFile = next
  const opened = await cairn('snapshots', '-q')
  expect(opened.code, opened.stderr).toBe(0)
}

/** A rewritten snapshot stands for the one that was reported: either of both, never none. */
async function expectAcknowledged(what: string): Promise<void> {
  const all = await listed()
  acknowledged = acknowledged.map((id) => {
    const there = all.find((one) => one.id === id)
    const heir = all.find((one) => one.original !== undefined && originals.get(id) === one.original)
    expect(there ?? heir, `${what}: snapshot ${id}`).toBeDefined()
    return (there ?? heir).id
  })
  for (const one of all) originals.set(one.id, one.original ?? one.id)
}

/** The first of a line of rewritten snapshots, by id. */
const originals = new Map<string, string>()

test(
  `A12 P1 P3 P7: ${KILLS} kills of ${OPERATIONS.length} commands`,
  async () => {
    expect((await cairn('init')).code).toBe(0)
    expect((await cairn('init', '-r', other)).code).toBe(0)
    for (let i = 0; i < KEPT; i++) await backUp(i)
    for (const one of await listed()) originals.set(one.id, one.original ?? one.id)
    for (let kill = 0; kill < KILLS; kill++) {
      const operation = OPERATIONS[kill % OPERATIONS.length] ?? 'prune'
      const what = `kill ${kill}, ${operation}`
      await backUp(kill + 1)
      for (const one of await listed()) originals.set(one.id, one.original ?? one.id)
      const args = await prepare(operation)
      await killed(args)
      if (operation === 'key passwd') await findKey(args)
      else {
        if (operation !== 'forget --prune') await expectAcknowledged(what)
        // A pack that was repaired is gone: then there is nothing to finish.
        const isGone = (name = '') =>
          !box.repositoryFiles('packs').some((one) => one.includes(name))
        const again = await cairn(
          ...(operation === 'repair packs' && isGone(args.at(-1)) ? ['repair', 'index'] : args),
        )
        expect(again.code, `${what}: ${again.stderr}`).toBe(0)
      }
      await expectAcknowledged(what)
      const check = await cairn('check', '--read-data')
      expect(check.code, `${what}: ${check.stdout}${check.stderr}`).toBe(0)
      if (operation === 'copy') await expectCopied(what)
    }
    for (const id of acknowledged) {
      const target = join(root, 'each')
      const each = await cairn('restore', id, '-t', target, '-q')
      expect(each.code, each.stderr).toBe(0)
      if (id === acknowledged.at(-1)) {
        const compared = spawnSync('diff', ['-r', box.source, join(target, box.source)])
        expect(`${compared.stdout}${compared.stderr}`).toBe('')
      }
      rmSync(target, { recursive: true })
    }
    expect(box.repositoryFiles('marks')).toEqual([])
    // What died within the hour is remembered, since its last calls may come late: it was in nobody's way.
    const unlocked = await cairn('unlock')
    expect(unlocked.code, unlocked.stderr).toBe(0)
    expect(box.repositoryFiles('sessions')).toEqual([])
  },
  KILLS * 60_000,
)

/** Each snapshot once, also after a copy that was killed between two of them. */
async function expectCopied(what: string): Promise<void> {
  const copies = (await listed('-r', other)).map((one) => `${one.time} ${one.hostname}`)
  const own = (await listed()).map((one) => `${one.time} ${one.hostname}`)
  for (const one of own)
    expect(
      copies.filter((copy) => copy === one),
      what,
    ).toHaveLength(1)
  const check = await cairn('check', '--read-data', '-r', other)
  expect(check.code, `${what}: ${check.stdout}${check.stderr}`).toBe(0)
}
