import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, linkSync, lstatSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs'
import { readdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'vitest'
import { byteStringOf } from '../../../src/base/bytes.ts'
import { CborWriter } from '../../../src/format/cbor.ts'
import { BLOB_TYPE } from '../../../src/format/constants.ts'
import { encodeInner, LEAF_HEAD, type NodeRoot, writeEntry } from '../../../src/format/tree.ts'
import { buildRepository, RepositoryBuilder } from '../../support/repository-builder.ts'
import { describeTree, overriding, restore, targetDirectory } from './restore-harness.ts'
import { temporaryDirectory, testEnvironment, wrappedTargets } from './restore-harness.ts'

describe('restoreSnapshot() of hostile trees', () => {
  test('M1: names that are no names are refused one by one, the others restored (P5)', async () => {
    const { path, target } = temporaryDirectory()
    const builder = await RepositoryBuilder.create()
    const bad = ['', '.', '..', '/etc/x', 'a/b', 'a\0b', '../x']
    const odd = ['..\\x', 'C:x', 'CON', 'f:s', '\\\\srv\\x', ' ']
    const names = [...bad, ...odd, 'good', 'twice', 'twice', 'x'.repeat(300)]
    names.sort((a, b) => (a < b ? -1 : 1))
    const entries = names.map((name) => ({
      ...builder.entry('', Buffer.from(name)),
      name: byteStringOf(name),
    }))
    const built = await builder.finish(builder.directory(entries))
    const { report, errors } = await restore(built, { target })
    assert.deepEqual(readdirSync(target).sort(), [...odd, 'good', 'twice'].sort())
    assert.deepEqual(readdirSync(path), ['target'])
    // One for each, one for the second twin, one for the name that is too long here.
    assert.equal(errors.length, bad.length + 2)
    assert.equal(report.isComplete, false)
  })

  test('M1: a critical field that is not known, an unknown type, no subtree (P2)', async () => {
    const builder = await RepositoryBuilder.create()
    const out = new CborWriter()
    out.map(3)
    out.integer(0)
    out.bytes(Buffer.from('critical'))
    out.integer(2)
    out.integer(0o644)
    out.integer(-1)
    out.integer(1)
    const built = await builder.finish(
      builder.directory([
        { name: 'critical', encoded: out.finish() },
        builder.entry('dir', { type: 'directory' }),
        builder.entry('file', Buffer.from('f')),
        builder.entry('link', { type: 'symlink' }),
        { ...builder.entry('unknown', Buffer.from('u')), type: 99 },
      ]),
    )
    const target = targetDirectory()
    const { errors } = await restore(built, { target })
    assert.equal(errors.length, 4, errors.join('\n'))
    assert.deepEqual(readdirSync(target), ['file'])
  })

  test('R5: what is refused for its place in a directory is not deleted at the target', async () => {
    const builder = await RepositoryBuilder.create()
    const leafOf = (name: string) => {
      const out = new CborWriter()
      out.raw(LEAF_HEAD)
      writeEntry(out, builder.entry(name, Buffer.from(name)))
      return { lastName: name, id: builder.metadataBlob(BLOB_TYPE.leaf, out.finish()) }
    }
    const rows = ['b', 'a'].map((name) => ({ ...leafOf(name), entryCount: 1, byteCount: 0 }))
    const id = builder.metadataBlob(BLOB_TYPE.inner, encodeInner(1, rows))
    const built = await builder.finish({ id, height: 1 })
    const target = targetDirectory()
    writeFileSync(join(target, 'a'), 'kept')
    const { errors } = await restore(built, { target, delete: true })
    assert.equal(errors.length, 1)
    assert.equal(readFileSync(join(target, 'a'), 'utf8'), 'kept')
  })

  test('M2: a symlink, and then an entry through it, stay inside (P5)', async () => {
    const { path, target } = temporaryDirectory()
    const victim = join(path, 'victim')
    mkdirSync(victim)
    const builder = await RepositoryBuilder.create()
    const inner = builder.directory([builder.entry('passwd', Buffer.from('owned'))])
    const built = await builder.finish(
      builder.directory([
        builder.entry('evil', { type: 'symlink', target: victim }),
        builder.entry('evil', { type: 'directory', subtree: inner }),
        builder.entry('up', { type: 'symlink', target: '../..' }),
        builder.entry('up', { type: 'directory', subtree: inner }),
      ]),
    )
    const { errors } = await restore(built, { target })
    assert.equal(errors.length, 2)
    assert.deepEqual(readdirSync(victim), [])
    // The same the other way round: the link comes from an earlier restore.
    const second = await buildRepository({ files: { 'evil/passwd': Buffer.from('owned') } })
    await restore(second, { target })
    assert.deepEqual(readdirSync(victim), [])
    assert.equal(readFileSync(join(target, 'evil/passwd'), 'utf8'), 'owned')
  })

  test('M3: a hard link follows no symlink and reaches nothing outside', async () => {
    const { path, target } = temporaryDirectory()
    const victim = join(path, 'victim')
    writeFileSync(victim, 'victim')
    const builder = await RepositoryBuilder.create()
    const built = await builder.finish(
      builder.directory([
        builder.entry('a', { type: 'symlink', target: victim, linkGroup: 1n }),
        builder.entry('b', { type: 'file', bytes: Buffer.from('b'), linkGroup: 1n }),
        builder.entry('c', { type: 'file', bytes: Buffer.from('c'), linkGroup: 1n }),
      ]),
    )
    await restore(built, { target })
    assert.equal(lstatSync(victim).nlink, 1)
    assert.equal(lstatSync(join(target, 'c')).ino, lstatSync(join(target, 'b')).ino)
  })

  test('M3: links of one group that differ are each restored as they are', async () => {
    const builder = await RepositoryBuilder.create()
    const link = { type: 'symlink', linkGroup: 1n } as const
    const built = await builder.finish(
      builder.tree({
        a: { ...link, target: 'one' },
        b: { ...link, target: 'two' },
        c: { type: 'fifo', linkGroup: 1n },
        d: { type: 'file', bytes: Buffer.from('d'), linkGroup: 1n },
        e: { type: 'fifo', linkGroup: 1n },
      }),
    )
    const target = targetDirectory()
    const { report } = await restore(built, { target })
    assert.equal(report.isComplete, true)
    const counts = ['a', 'b', 'c', 'd'].map((name) => lstatSync(join(target, name)).nlink)
    assert.deepEqual(counts, [1, 1, 2, 1])
    assert.deepEqual(
      ['a', 'b'].map((name) => readlinkSync(join(target, name))),
      ['one', 'two'],
    )
    assert.equal(lstatSync(join(target, 'e')).ino, lstatSync(join(target, 'c')).ino)
  })

  test('M3: no link is made to what took the place of the first name', async () => {
    const { path, target } = temporaryDirectory()
    const victim = join(path, 'victim')
    writeFileSync(victim, 'victim')
    const fifo = { type: 'fifo', linkGroup: 1n } as const
    const built = await buildRepository({ files: { a: fifo, b: fifo } })
    const swapping = wrappedTargets((opened) =>
      overriding(opened, {
        makeHardLink: (name, existing, options) => {
          rmSync(join(target, existing))
          symlinkSync(victim, join(target, existing))
          opened.makeHardLink(name, existing, options)
        },
      }),
    )
    const environment = testEnvironment({ target: swapping })
    const { report } = await restore(built, { target, environment })
    assert.equal(report.isComplete, true)
    assert.equal(lstatSync(join(target, 'a')).isSymbolicLink(), true)
    assert.equal(lstatSync(join(target, 'b')).isFIFO(), true)
    assert.equal(lstatSync(victim).nlink, 1)
    assert.deepEqual(readdirSync(target).sort(), ['a', 'b'])
  })

  test('M4: metadata of a FIFO or link that has other names is not changed (P5)', async () => {
    const { path, target } = temporaryDirectory()
    mkdirSync(target)
    execFileSync('mkfifo', ['-m', '600', join(path, 'victim')])
    linkSync(join(path, 'victim'), join(target, 'fifo'))
    const built = await buildRepository({ files: { fifo: { type: 'fifo', mode: 0o666 } } })
    for (const overwrite of ['keep-both', 'if-changed'] as const) {
      const { report } = await restore(built, { target, overwrite })
      assert.equal(report.isComplete, true)
      assert.equal(lstatSync(join(path, 'victim')).mode & 0o777, 0o600)
      assert.deepEqual(readdirSync(target), ['fifo'])
    }
    assert.equal(lstatSync(join(target, 'fifo')).mode & 0o777, 0o666)
    assert.equal(lstatSync(join(path, 'victim')).nlink, 1)
  })

  test('M4: links, hard links and FIFOs planted in the target are not followed (P5)', async () => {
    const { path, target } = temporaryDirectory()
    const victim = join(path, 'victim')
    mkdirSync(join(victim, 'dir'), { recursive: true })
    writeFileSync(join(victim, 'file'), 'precious')
    writeFileSync(join(victim, 'same'), 'same')
    mkdirSync(target)
    symlinkSync(join(victim, 'dir'), join(target, 'dir'))
    symlinkSync(join(victim, 'file'), join(target, 'link'))
    linkSync(join(victim, 'file'), join(target, 'hard'))
    linkSync(join(victim, 'same'), join(target, 'same'))
    execFileSync('mkfifo', [join(target, 'fifo')])
    symlinkSync(join(victim, 'dir'), join(target, '.cairn-restore-0123456789abcdef-0'))
    const before = describeTree(victim)
    const built = await buildRepository({
      files: {
        'dir/inner': Buffer.from('i'),
        link: Buffer.from('l'),
        hard: Buffer.from('h'),
        fifo: Buffer.from('f'),
        same: { type: 'file', bytes: Buffer.from('same'), mode: 0o4777 },
      },
    })
    const { report } = await restore(built, { target })
    assert.equal(report.isComplete, true)
    assert.deepEqual(describeTree(victim), before)
    assert.equal(readFileSync(join(target, 'dir/inner'), 'utf8'), 'i')
    for (const name of ['link', 'hard', 'fifo']) {
      assert.equal(readFileSync(join(target, name), 'utf8'), name[0])
    }
    assert.equal(existsSync(join(target, '.cairn-restore-0123456789abcdef-0')), false)
    // With `never`, what is planted stays, and nothing gets through it.
    const other = join(path, 'other')
    mkdirSync(other)
    symlinkSync(join(victim, 'dir'), join(other, 'dir'))
    const kept = await restore(built, { target: other, overwrite: 'never' })
    assert.match(kept.errors.join(), /\/dir: .*symlink is in its place/)
    assert.deepEqual(describeTree(victim), before)
  })

  test('M6: a tree deeper than the limit is cut, named, and the rest restored (P8)', async () => {
    const builder = await RepositoryBuilder.create()
    let root: NodeRoot = builder.directory([builder.entry('bottom', Buffer.from('b'))])
    for (let depth = 0; depth < 4200; depth++) {
      root = builder.directory([builder.entry('d', { type: 'directory', subtree: root })])
    }
    const built = await builder.finish(
      builder.directory([
        builder.entry('deep', { type: 'directory', subtree: root }),
        builder.entry('file', Buffer.from('f')),
      ]),
    )
    const { target } = temporaryDirectory()
    const { errors } = await restore(built, { target })
    try {
      assert.equal(errors.length, 1)
      assert.match(errors[0] ?? '', /more than 4096 directories deep/)
      assert.equal(readFileSync(join(target, 'file'), 'utf8'), 'f')
    } finally {
      execFileSync('rm', ['-rf', target]) // Too deep for Node.
    }
  })
})
