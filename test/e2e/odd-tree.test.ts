/**
 * A tree of odd names and times restores with no difference in type, mode, owner, mtime (ns),
 * content and link target. `CAIRN_TREE_FILES=100000` for the long run.
 */

import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  lstatSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  chmodSync,
  lchownSync,
} from 'node:fs'
import { createHash } from 'node:crypto'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { libc } from '../../src/source/libc.ts'
import { seeded } from '../support/seeded.ts'
import { Box } from '../support/run-cairn.ts'

const FILES = Number(process.env['CAIRN_TREE_FILES'] ?? 2000)
const PER_DIRECTORY = 250
let root = ''
let box: Box

const TIMES = [0n, -1n, -2_147_483_648n, 1_700_000_000n, 4_294_967_296n, 15_032_385_534n]

/** Bytes that a file system takes and that text does not: not UTF-8, controls, blanks, quotes. */
function oddName(random: () => number, i: number): Buffer {
  const bytes = Buffer.alloc(1 + Math.floor(random() * 40))
  for (let at = 0; at < bytes.length; at++) {
    const byte = 1 + Math.floor(random() * 255)
    bytes[at] = byte === 0x2f ? 0x5c : byte
  }
  return Buffer.concat([bytes, Buffer.from(`-${i}`)])
}

function under(directory: Buffer, name: Buffer): Buffer {
  return Buffer.concat([directory, Buffer.from('/'), name])
}

function setTimes(path: Buffer, seconds: bigint, nanoseconds: bigint): void {
  const ns = seconds * 1_000_000_000n + nanoseconds
  const functions = libc()
  if (functions === undefined) throw new Error('this test needs libc')
  functions.utimensat(path.toString('latin1'), 'omit', ns, false)
}

function plant(base: Buffer, random: () => number): void {
  let directory = base
  for (let i = 0; i < FILES; i++) {
    if (i % PER_DIRECTORY === 0) {
      directory = under(base, oddName(random, i))
      mkdirSync(directory)
    }
    const path = under(directory, oddName(random, i))
    const kind = i % 10
    if (kind === 9) symlinkSync(oddName(random, i), path)
    else {
      writeFileSync(path, Buffer.from(`${i} `.repeat(Math.floor(random() ** 3 * 300))))
      chmodSync(path, [0o644, 0o600, 0o755, 0o400, 0o4755, 0o1777, 0][kind % 7] ?? 0o644)
    }
    if (process.getuid?.() === 0) lchownSync(path, i % 3000, (i * 7) % 70_000)
    if (kind !== 9 && process.getuid?.() === 0) {
      // A change of owner drops setuid: set the mode again.
      chmodSync(path, [0o644, 0o600, 0o755, 0o400, 0o4755, 0o1777, 0][kind % 7] ?? 0o644)
    }
    const seconds = TIMES[i % TIMES.length] ?? 0n
    setTimes(path, seconds, BigInt(Math.floor(random() * 1e9)))
  }
}

function listing(base: Buffer): string[] {
  const found: string[] = []
  const visit = (path: Buffer, name: string): void => {
    const stat = lstatSync(path, { bigint: true })
    let content = ''
    if (stat.isFile()) content = createHash('sha256').update(readFileSync(path)).digest('hex')
    if (stat.isSymbolicLink()) content = readlinkSync(path, 'latin1')
    // Directories above the source belong to the machine, not to the test.
    found.push(
      `${name} ${stat.mode.toString(8)} ${stat.uid}:${stat.gid} ${stat.mtimeNs} ${content}`,
    )
    if (!stat.isDirectory()) return
    for (const child of readdirSync(path, { encoding: 'buffer' })) {
      visit(under(path, child), `${name}/${child.toString('latin1')}`)
    }
  }
  visit(base, '')
  return found.sort()
}

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'cairn-odd-'))
  box = new Box(root, false)
  plant(Buffer.from(join(root, 'source')), seeded(3))
})
const REMOVAL_MS = 120_000 + FILES * 10
afterAll(() => rmSync(root, { recursive: true, force: true }), REMOVAL_MS)

test(`E11 E12 E19 P1: ${FILES} files with odd names and times restore without a difference`, async () => {
  const repository = join(root, 'repository')
  const target = join(root, 'target')
  const source = join(root, 'source')
  const backup = await box.run(['backup', '--init', '-r', repository, source])
  expect(backup.code, backup.stderr).toBe(0)
  const again = await box.run(['backup', '--json', '-r', repository, source])
  const summary = JSON.parse(again.stdout.trim().split('\n').at(-1) ?? '') as { data_blobs: number }
  expect(summary.data_blobs).toBe(0)
  const restore = await box.run(['restore', 'latest', '-r', repository, '-t', target])
  expect(restore.code, restore.stderr).toBe(0)
  const expected = listing(Buffer.from(source))
  const actual = listing(Buffer.from(join(target, source)))
  expect(actual.length).toBe(expected.length)
  expect(actual.filter((line, i) => line !== expected[i])).toEqual([])
})
