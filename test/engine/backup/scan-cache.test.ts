/** P6: with the scan cache, without it or with a damaged one, a backup makes the same tree. */

import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { toHex } from '../../../src/base/bytes.ts'
import { MemoryBackend } from '../../../src/storage/memory/memory-backend.ts'
import {
  backUp,
  create,
  inlineEnvironment,
  MemoryCache,
  open,
} from '../../support/backup-harness.ts'
import { seeded } from '../../support/seeded.ts'

let root = ''
let disk: MemoryBackend

beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), 'cairn-scan-'))
  disk = new MemoryBackend()
  await create(disk)
})
afterEach(() => rmSync(root, { recursive: true, force: true }))

/** The contents of `root` alone: the directories above it change while other tests run. */
function contents() {
  return { kind: 'paths' as const, paths: ['.'], workingDirectory: root }
}

/** A clock that is `seconds` ahead, so that files just written are old enough to be trusted. */
function later(seconds: number) {
  const environment = inlineEnvironment()
  const { clock } = environment
  const ahead = BigInt(seconds) * 1_000_000_000n
  return { ...environment, clock: { ...clock, wallNs: () => clock.wallNs() + ahead } }
}

function everyPath(): string[] {
  return readdirSync(root, { recursive: true, encoding: 'utf8' }).map((path) => join(root, path))
}

/** One change of a kind that a user makes: a file more, less, longer, renamed, re-typed. */
function change(random: () => number): void {
  const paths = everyPath()
  const path = paths[Math.floor(random() * paths.length)] ?? root
  const directories = [
    root,
    ...paths.filter((one) => statSync(one, { throwIfNoEntry: false })?.isDirectory()),
  ]
  const directory = directories[Math.floor(random() * directories.length)] ?? root
  const fresh = join(directory, `n${Math.floor(random() * 1e9)}`)
  const kind = Math.floor(random() * 7)
  try {
    if (kind === 0) mkdirSync(fresh)
    else if (kind === 1) symlinkSync('somewhere', fresh)
    else if (kind === 2 && path !== root) rmSync(path, { recursive: true })
    else if (kind === 3) renameSync(path, fresh)
    else if (kind === 4) chmodSync(path, 0o700 + Math.floor(random() * 64))
    else if (kind === 5) utimesSync(path, 1e9 * random(), 1e9 * random())
    else writeFileSync(fresh, Buffer.alloc(Math.floor(random() * 6000), Math.floor(random() * 256)))
  } catch {
    // A directory into itself, a link to nowhere: no change this time.
  }
}

test('random changes between runs: the same root with and without the cache', async () => {
  const random = seeded(11)
  const cache = new MemoryCache()
  const scanCache = { files: cache, name: 'scan' }
  for (let i = 0; i < 60; i++) change(random)
  let reused = 0
  for (let run = 0; run < 25; run++) {
    for (let i = 0; i < 3; i++) change(random)
    const environment = later(10 * (run + 1))
    const cached = await backUp(disk, root, {
      input: contents(),
      scanCache,
      environment,
      dryRun: false,
    })
    const plain = await backUp(disk, root, { input: contents(), environment, dryRun: true })
    expect(toHex(cached.rootId), `run ${run}`).toBe(toHex(plain.rootId))
    reused += cached.files.unchanged
  }
  // The check that can fail: the cache was in use.
  expect(reused).toBeGreaterThan(50)
})

test('nothing changed: nothing is read, nothing is stored, the root stays', async () => {
  const random = seeded(5)
  for (let i = 0; i < 50; i++) change(random)
  const scanCache = { files: new MemoryCache(), name: 'scan' }
  const first = await backUp(disk, root, { input: contents(), scanCache, environment: later(10) })
  const packs = [...disk.files.keys()].filter((name) => name.startsWith('packs/')).length
  const second = await backUp(disk, root, { input: contents(), scanCache, environment: later(20) })
  expect(second.files).toMatchObject({ new: 0, modified: 0 })
  expect(second.directories).toMatchObject({ new: 0, modified: 0 })
  expect(toHex(second.rootId)).toBe(toHex(first.rootId))
  expect([...disk.files.keys()].filter((name) => name.startsWith('packs/'))).toHaveLength(packs)
})

test('E3 E4: a file changed within the two seconds before the scan, the clock of FAT, is read again next time', async () => {
  const path = join(root, 'racy')
  writeFileSync(path, 'one')
  const stat = statSync(path)
  await new Promise((resolve) => setTimeout(resolve, 1_100))
  const scanCache = { files: new MemoryCache(), name: 'scan' }
  await backUp(disk, root, { input: contents(), scanCache, environment: inlineEnvironment() })
  // The same size and mtime; what would tell, ctime, may lie within one tick.
  writeFileSync(path, 'two')
  utimesSync(path, stat.atime, stat.mtime)
  const report = await backUp(disk, root, { input: contents(), scanCache, environment: later(10) })
  expect(report.files.modified).toBe(1)
})

test('D2 P6: any damaged byte of the scan cache costs time only', async () => {
  const random = seeded(3)
  for (let i = 0; i < 30; i++) change(random)
  const cache = new MemoryCache()
  const scanCache = { files: cache, name: 'scan' }
  const first = await backUp(disk, root, { input: contents(), scanCache, environment: later(10) })
  const good = Buffer.from(cache.files.get('scan') ?? [])
  expect(good.length).toBeGreaterThan(500)
  const step = Math.max(1, Math.floor(good.length / 150))
  for (let at = 0; at < good.length; at += step) {
    const bad = Buffer.from(good)
    bad[at] = (bad[at] ?? 0) ^ (1 << (at % 8))
    cache.files.set('scan', at % 3 === 0 ? good.subarray(0, at) : bad)
    const report = await backUp(disk, root, {
      input: contents(),
      scanCache,
      environment: later(20),
    })
    expect(toHex(report.rootId), `byte ${at}`).toBe(toHex(first.rootId))
  }
})

test.each(['createWriter', 'write', 'commit'] as const)(
  'D6 P6: a scan cache that fails at %s costs time only',
  async (failing) => {
    change(seeded(4))
    const fail = (): never => {
      throw Object.assign(new Error('EROFS: read-only file system'), { code: 'EROFS' })
    }
    const cache = new MemoryCache()
    const writer = {
      ...cache.createWriter('scan'),
      ...(failing !== 'createWriter' && { [failing]: fail }),
    }
    const files = {
      openForRead: (name: string) => cache.openForRead(name),
      createWriter: () => (failing === 'createWriter' ? fail() : writer),
    }
    const scanCache = { files, name: 'scan' }
    const report = await backUp(disk, root, { input: contents(), scanCache })
    const [snapshot] = await (await open(disk)).snapshots()
    expect(report.snapshotId).toBe(snapshot?.id)
    expect(cache.files.size).toBe(0)
  },
)

test('E6: a file that is swapped for a link after it was seen is not followed', async () => {
  const secret = join(root, '..', `secret-${Date.now()}`)
  writeFileSync(secret, 'not to be stored')
  mkdirSync(join(root, 'in'))
  writeFileSync(join(root, 'in', 'file'), 'harmless')
  const environment = inlineEnvironment()
  const { source } = environment
  let swapped = false
  const swapping = {
    ...environment,
    source: {
      ...source,
      open: (path: string) => {
        if (!swapped && path.endsWith('/in/file')) {
          swapped = true
          rmSync(join(root, 'in', 'file'))
          symlinkSync(secret, join(root, 'in', 'file'))
        }
        return source.open(path)
      },
    },
  }
  const errors: string[] = []
  const report = await backUp(disk, join(root, 'in'), {
    environment: swapping,
    listener: { onError: (path) => errors.push(path) },
  })
  rmSync(secret)
  expect(swapped).toBe(true)
  // Left out and named, or stored as the link that it is now: never the link's target.
  const repository = await open(disk)
  const [snapshot] = await repository.snapshots()
  expect(snapshot?.id).toBe(report.snapshotId)
  expect(report.files.new === 0 || errors.length === 0).toBe(true)
  expect(report.bytesProcessed).toBeLessThan('not to be stored'.length)
})
