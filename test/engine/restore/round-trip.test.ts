import assert from 'node:assert/strict'
import { lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { rmSync, statSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'vitest'
import { nodeClock, nodeRandomness } from '../../../src/base/node-seams.ts'
import { REFERENCE_BYTES } from '../../../src/format/constants.ts'
import { openLocalBackend } from '../../../src/storage/local/local-backend.ts'
import {
  buildRepository,
  type FileSpec,
  RepositoryBuilder,
  TEST_TIME,
} from '../../support/repository-builder.ts'
import {
  describeTree,
  noise,
  overriding,
  restore,
  targetDirectory,
  temporaryDirectory,
  temporaryNames,
  testEnvironment,
  wrappedTargets,
} from './restore-harness.ts'

const isRoot = process.geteuid?.() === 0
const TIME_NS = BigInt(TEST_TIME.seconds) * 1_000_000_000n + BigInt(TEST_TIME.nanoseconds)

/** One of each kind: empty, small, several chunks, more than a job holds, duplicates, odd names. */
function everything(): Record<string, FileSpec> {
  const files: Record<string, FileSpec> = {
    empty: Buffer.alloc(0),
    small: Buffer.from('small'),
    twin: Buffer.from('small'),
    chunks: noise(300_000, 1),
    large: noise(20_000_000, 2),
    zeros: Buffer.alloc(1_000_000),
    'dir/sub/deep': noise(70_000, 3),
    'dir/link': { type: 'symlink', target: '../../outside', mode: 0o777 },
    'dir/fifo': { type: 'fifo', mode: 0o620 },
    secret: { type: 'file', bytes: Buffer.from('s'), mode: 0o4711 },
    old: {
      type: 'file',
      bytes: Buffer.from('o'),
      mode: 0o644,
      mtime: { seconds: -5, nanoseconds: 7 },
    },
    'naïve\n"name"': Buffer.from('n'),
    'empty-dir': { type: 'directory', mode: 0o555 },
  }
  for (let i = 0; i < 300; i++) files[`many/${i % 7}/file ${i}`] = noise(i * 31, i)
  return files
}

function expectedFiles(target: string, files: Record<string, FileSpec>): void {
  for (const [path, spec] of Object.entries(files)) {
    const at = join(target, path)
    const given = Buffer.isBuffer(spec) ? { type: 'file', bytes: spec, mode: 0o644 } : spec
    const stat = lstatSync(at, { bigint: true })
    const bytes = given.bytes as Buffer | undefined
    if (bytes !== undefined) assert.ok(readFileSync(at).equals(bytes), path)
    if (given.type !== 'symlink') assert.equal(Number(stat.mode & 0o7777n), given.mode, path)
    if (path !== 'old') assert.equal(stat.mtimeNs, TIME_NS, path)
  }
}

describe('restoreSnapshot()', () => {
  test('round trip: everything is exact, from memory, inline (P1)', async () => {
    const files = everything()
    const built = await buildRepository({ files })
    const { target } = temporaryDirectory()
    const { report, errors } = await restore(built, { target })
    assert.deepEqual(errors, [])
    assert.equal(report.isComplete, true)
    expectedFiles(target, files)
    assert.equal(lstatSync(join(target, 'dir'), { bigint: true }).mtimeNs, TIME_NS)
    assert.equal(report.counts.files_restored, report.counts.total_files)
    assert.equal(report.counts.bytes_restored, report.counts.total_bytes)
    assert.deepEqual(temporaryNames(target), [])
  })

  test('round trip: threads that read the packs themselves do the same (P1)', async () => {
    const files = everything()
    const { path, target } = temporaryDirectory()
    const parts = { clock: nodeClock(), random: nodeRandomness() }
    mkdirSync(join(path, 'repository'))
    const backend = openLocalBackend({ path: join(path, 'repository'), ...parts })
    const built = await buildRepository({ files, backend, packBytes: 3_000_000 })
    const environment = testEnvironment({ threads: 2 })
    const { report, errors } = await restore(built, { target, environment, verify: true })
    assert.deepEqual(errors, [])
    expectedFiles(target, files)
    assert.equal(report.verifiedFiles, Object.keys(files).length - 3)
    const inline = join(path, 'inline')
    await restore(built, { target: inline })
    assert.deepEqual(describeTree(target), describeTree(inline))
  })

  test('round trip: threads with a backend that has no paths (P1)', async () => {
    const files = everything()
    const built = await buildRepository({ files })
    const { target } = temporaryDirectory()
    const { errors } = await restore(built, {
      target,
      environment: testEnvironment({ threads: 2 }),
    })
    assert.deepEqual(errors, [])
    expectedFiles(target, files)
  })

  test('hard links are links again, and one file', async () => {
    const builder = await RepositoryBuilder.create()
    const link = { type: 'file' as const, bytes: Buffer.from('shared'), linkGroup: 7n }
    const built = await builder.finish(builder.tree({ 'a/one': link, 'b/two': link, three: link }))
    const target = targetDirectory()
    const { report } = await restore(built, { target })
    const inodes = ['a/one', 'b/two', 'three'].map((path) => statSync(join(target, path)).ino)
    assert.equal(new Set(inodes).size, 1)
    assert.equal(report.isComplete, true)
    assert.equal(report.counts.total_bytes, 6)
    // Once more, over what is there.
    assert.equal((await restore(built, { target })).report.isComplete, true)
    assert.equal(statSync(join(target, 'three')).nlink, 3)
  })

  test('names of one symlink, FIFO, socket or device are names of one again', async () => {
    const builder = await RepositoryBuilder.create()
    const link = { type: 'symlink', target: 'nowhere', linkGroup: 1n } as const
    const fifo = { type: 'fifo', mode: 0o640, linkGroup: 2n } as const
    const socket = { type: 'socket', linkGroup: 3n } as const
    const device = { type: 'chardevice', device: { major: 1, minor: 3 }, linkGroup: 4n } as const
    const others = isRoot ? { 'a/device': device, 'b/device': device } : {}
    const tree = {
      'a/link': link,
      'b/link': link,
      link,
      'a/socket': socket,
      'b/socket': socket,
      // It was written to after the first name had been looked at.
      'a/fifo': fifo,
      'b/fifo': { ...fifo, mtime: { seconds: 5, nanoseconds: 6 } },
      ...others,
    }
    const built = await builder.finish(builder.tree(tree))
    const target = targetDirectory()
    const stat = (path: string) => lstatSync(join(target, path))
    const expectLinks = () => {
      for (const kind of ['link', 'fifo', 'socket', ...(isRoot ? ['device'] : [])]) {
        assert.equal(stat(`a/${kind}`).ino, stat(`b/${kind}`).ino, kind)
        assert.equal(stat(`a/${kind}`).nlink, kind === 'link' ? 3 : 2)
      }
      assert.equal(readlinkSync(join(target, 'link')), 'nowhere')
      assert.equal(stat('b/fifo').mode & 0o7777, 0o640)
    }
    const first = await restore(built, { target })
    expectLinks()
    assert.equal(first.report.isComplete, true)
    assert.equal(first.report.counts.files_restored, first.report.counts.total_files)
    // Once more over what is there, and where it was somebody's to break the group up.
    assert.equal((await restore(built, { target })).report.isComplete, true)
    expectLinks()
    rmSync(join(target, 'a/fifo'))
    rmSync(join(target, 'b/link'))
    symlinkSync('elsewhere', join(target, 'b/link'))
    assert.equal((await restore(built, { target })).report.isComplete, true)
    expectLinks()
    const dry = await restore(built, { target, dryRun: true })
    assert.equal(dry.report.isComplete, true)
    expectLinks()
    // Nothing is made a second time beside what is there.
    const kept = await restore(built, { target, overwrite: 'keep-both' })
    assert.equal(kept.report.isComplete, true)
    expectLinks()
    assert.deepEqual(readdirSync(target).sort(), ['a', 'b', 'link'])
  })

  test('keep-both leaves FIFOs alike that are no links, and links what goes beside others', async () => {
    const fifo = { type: 'fifo', linkGroup: 2n } as const
    const built = await buildRepository({ files: { a: fifo, b: fifo, c: fifo } })
    const apart = await buildRepository({
      files: { a: { type: 'fifo' }, b: { type: 'fifo' }, c: Buffer.from('c') },
    })
    const target = targetDirectory()
    await restore(apart, { target })
    await restore(built, { target, overwrite: 'keep-both' })
    assert.deepEqual(readdirSync(target).sort(), ['a', 'b', 'c', 'c.restored'])
    assert.equal(readFileSync(join(target, 'c'), 'utf8'), 'c')
    assert.equal(lstatSync(join(target, 'c.restored')).nlink, 2)
  })

  test('of names of one FIFO those that are chosen are one, also where some cannot be linked', async () => {
    const builder = await RepositoryBuilder.create()
    const fifo = { type: 'fifo', linkGroup: 2n } as const
    const file = { type: 'file', bytes: Buffer.from('f'), linkGroup: 3n } as const
    const built = await builder.finish(
      builder.tree({ a: fifo, b: fifo, c: fifo, d: file, e: file, f: file }),
    )
    const target = targetDirectory()
    const include = [
      { matches: (path: string) => '/b /c /e /f'.includes(path), mayMatchBelow: () => true },
    ]
    await restore(built, { target, include })
    assert.deepEqual(readdirSync(target).sort(), ['b', 'c', 'e', 'f'])
    const stat = (path: string) => lstatSync(join(target, path))
    assert.deepEqual([stat('b').ino, stat('b').nlink], [stat('c').ino, 2])
    assert.deepEqual([stat('e').ino, stat('e').nlink], [stat('f').ino, 2])
    const second = targetDirectory()
    let isFull = true
    const filled = wrappedTargets((opened) =>
      overriding(opened, {
        makeHardLink: (path, existing, options) => {
          if (path === 'b' && isFull) {
            isFull = false
            throw Object.assign(new Error('EMLINK: too many links'), { code: 'EMLINK' })
          }
          opened.makeHardLink(path, existing, options)
        },
      }),
    )
    const environment = testEnvironment({ target: filled })
    const { report } = await restore(built, { target: second, environment })
    assert.equal(report.isComplete, true)
    assert.equal(isFull, false)
    const counts = ['a', 'b', 'c'].map((path) => lstatSync(join(second, path)).nlink)
    assert.deepEqual(counts, [1, 2, 2])
  })

  test('holes in references and runs of zeros take no space with sparse', async () => {
    const builder = await RepositoryBuilder.create()
    const data = builder.references(Buffer.from('x'.repeat(5000)))
    const hole = Buffer.alloc(REFERENCE_BYTES)
    hole.writeUInt32LE(50_000_000, 32)
    const references = Buffer.concat([data, hole, data])
    const zeros = Buffer.concat([
      Buffer.from('start'),
      Buffer.alloc(20_000_000),
      Buffer.from('end'),
    ])
    const built = await builder.finish(
      builder.tree({
        holes: { type: 'file', size: 50_010_000, content: references },
        'only-hole': { type: 'file', size: 50_000_000, content: hole },
        zeros,
      }),
    )
    const target = targetDirectory()
    const { errors } = await restore(built, { target, sparse: true, verify: true })
    assert.deepEqual(errors, [])
    for (const name of ['holes', 'only-hole', 'zeros']) {
      assert.ok(statSync(join(target, name)).blocks < 4000, name)
    }
    assert.equal(statSync(join(target, 'holes')).size, 50_010_000)
    assert.ok(readFileSync(join(target, 'zeros')).equals(zeros))
  })

  test('scattered blobs: a file of chunks from many packs is exact', async () => {
    const builder = await RepositoryBuilder.create({ chunkBytes: 100_000, packBytes: 1 })
    const pieces: Buffer[] = []
    for (let i = 0; i < 40; i++) {
      builder.references(noise(900_000, i + 100))
      pieces.push(noise(900_000, i + 100).subarray(100_000, 200_000))
    }
    const mixed = Buffer.concat(pieces.reverse())
    const built = await builder.finish(
      builder.tree({ mixed, again: Buffer.concat([mixed, mixed]) }),
    )
    const target = targetDirectory()
    await restore(built, { target })
    assert.ok(readFileSync(join(target, 'mixed')).equals(mixed))
    assert.ok(readFileSync(join(target, 'again')).equals(Buffer.concat([mixed, mixed])))
  })

  test('R3: a directory of mode 0555 is filled, and has its mode and times in the end', async () => {
    const built = await buildRepository({
      files: { 'closed/file': Buffer.from('in'), closed: { type: 'directory', mode: 0o555 } },
    })
    const target = targetDirectory()
    for (let run = 0; run < 2; run++) {
      assert.equal((await restore(built, { target })).report.isComplete, true)
      const stat = statSync(join(target, 'closed'), { bigint: true })
      assert.equal(stat.mode & 0o7777n, 0o555n)
      assert.equal(stat.mtimeNs, TIME_NS)
    }
  })
})
