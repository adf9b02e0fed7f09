import assert from 'node:assert/strict'
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { symlinkSync, unlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'vitest'
import { CairnError } from '../../../src/base/errors.ts'
import { nodeRandomness } from '../../../src/base/node-seams.ts'
import type { OverwritePolicy } from '../../../src/engine/restore/restore-options.ts'
import { nodeTargetFiles } from '../../../src/source/node-target-files.ts'
import { compilePatterns } from '../../../src/source/patterns.ts'
import {
  type BuiltRepository,
  buildRepository,
  TEST_TIME,
} from '../../support/repository-builder.ts'
import {
  describeTree,
  noise,
  restore,
  targetDirectory,
  temporaryNames,
  testEnvironment,
} from './restore-harness.ts'

const FILES: Record<string, Buffer> = {
  absent: Buffer.from('absent'),
  alike: Buffer.from('snapshot'),
  longer: Buffer.from('snapshot'),
  newer: Buffer.from('snapshot'),
  older: Buffer.from('snapshot'),
  same: Buffer.from('same'),
}
const MTIME = TEST_TIME.seconds + TEST_TIME.nanoseconds / 1e9

/** A target that holds: the same, the same in size and time only, longer, newer, older. */
async function prepared(): Promise<{ built: BuiltRepository; target: string }> {
  const built = await buildRepository({ files: FILES })
  const target = targetDirectory()
  await restore(built, { target })
  const put = (name: string, text: string, shift: number) => {
    writeFileSync(join(target, name), text)
    utimesSync(join(target, name), MTIME + shift, MTIME + shift)
  }
  put('newer', 'newer', 100)
  put('older', 'older', -100)
  writeFileSync(join(target, 'alike'), 'tampered')
  writeFileSync(join(target, 'longer'), 'snapshot and a tail')
  for (const name of ['alike', 'longer']) setSnapshotTime(target, name)
  unlinkSync(join(target, 'absent'))
  return { built, target }
}

/** To the nanosecond, which Node's own calls cannot do. */
function setSnapshotTime(target: string, name: string): void {
  const opened = nodeTargetFiles({ randomness: nodeRandomness() }).openTarget(target)
  const file = opened.openExisting(name)
  const mtimeNs = BigInt(TEST_TIME.seconds) * 1_000_000_000n + BigInt(TEST_TIME.nanoseconds)
  assert.deepEqual(file.adopt({ mtimeNs }), [])
  file.close()
  opened.close()
}

function contents(target: string): Record<string, string> {
  return Object.fromEntries(
    readdirSync(target)
      .sort()
      .map((name) => [name, readFileSync(join(target, name), 'utf8')]),
  )
}

const RESTORED = Object.fromEntries(
  Object.entries(FILES).map(([name, bytes]) => [name, bytes.toString()]),
)

describe('restoreSnapshot() over existing files', () => {
  test('R2 always: exact contents; what is the same to the byte stays', async () => {
    const { built, target } = await prepared()
    const inode = statSync(join(target, 'same')).ino
    const { report, items } = await restore(built, { target })
    assert.deepEqual(contents(target), RESTORED)
    assert.equal(statSync(join(target, 'same')).ino, inode)
    assert.equal(report.counts.files_skipped, 1)
    assert.ok(items.includes('unchanged /same') && items.includes('updated /alike'))
    assert.ok(items.includes('restored /absent'))
  })

  test('R2: other policies', async () => {
    const expected: Record<Exclude<OverwritePolicy, 'always'>, Record<string, string>> = {
      'if-changed': { ...RESTORED, alike: 'tampered' },
      'if-newer': {
        ...RESTORED,
        alike: 'tampered',
        longer: 'snapshot and a tail',
        newer: 'newer',
      },
      never: {
        ...RESTORED,
        alike: 'tampered',
        longer: 'snapshot and a tail',
        newer: 'newer',
        older: 'older',
      },
      'keep-both': {
        ...RESTORED,
        alike: 'tampered',
        'alike.restored': 'snapshot',
        longer: 'snapshot and a tail',
        'longer.restored': 'snapshot',
        newer: 'newer',
        'newer.restored': 'snapshot',
        older: 'older',
        'older.restored': 'snapshot',
      },
    }
    for (const [policy, wanted] of Object.entries(expected)) {
      const { built, target } = await prepared()
      const overwrite = policy as OverwritePolicy
      const { report } = await restore(built, { target, overwrite })
      assert.deepEqual(contents(target), wanted, policy)
      assert.equal(report.isComplete, true)
    }
  })

  test('R2: what is in the way: a directory stays and is told, other things are replaced', async () => {
    const built = await buildRepository({
      files: { file: Buffer.from('f'), 'dir/x': Buffer.from('x'), ro: Buffer.from('new') },
    })
    const target = targetDirectory()
    mkdirSync(join(target, 'file'))
    writeFileSync(join(target, 'file/precious'), 'p')
    writeFileSync(join(target, 'dir'), 'not a directory')
    writeFileSync(join(target, 'ro'), 'old')
    chmodSync(join(target, 'ro'), 0)
    const { errors } = await restore(built, { target })
    assert.equal(errors.length, 1)
    assert.match(errors[0] ?? '', /^\/file: .*a directory is in its place/)
    assert.equal(readFileSync(join(target, 'file/precious'), 'utf8'), 'p')
    assert.equal(readFileSync(join(target, 'dir/x'), 'utf8'), 'x')
    assert.equal(readFileSync(join(target, 'ro'), 'utf8'), 'new')
  })

  test('R4: an interrupted restore is resumed: whole files stay, leftovers go', async () => {
    const files = Object.fromEntries(
      Array.from({ length: 200 }, (_, i) => [`d${i % 5}/f${i}`, noise(20_000, i)]),
    )
    const built = await buildRepository({ files: { ...files, large: noise(20_000_000, 1) } })
    const target = targetDirectory()
    const controller = new AbortController()
    let done = 0
    const stopped = restore(built, {
      target,
      signal: controller.signal,
      onItem: () => {
        if (++done === 50) controller.abort()
      },
    })
    await assert.rejects(stopped, (error) => error instanceof CairnError && error.exitCode === 130)
    assert.deepEqual(temporaryNames(target), [])
    writeFileSync(join(target, 'd1/.cairn-restore-00112233aabbccdd-9'), 'of a killed run')
    const { report } = await restore(built, { target })
    assert.equal(report.isComplete, true)
    assert.ok(report.counts.files_skipped >= 1)
    const clean = targetDirectory()
    await restore(built, { target: clean })
    assert.deepEqual(describeTree(target), describeTree(clean))
  })

  test('R4: threads stop within two seconds and leave nothing half written', async () => {
    const files = Object.fromEntries(
      Array.from({ length: 60 }, (_, i) => [`f${i}`, noise(1_000_000, i)]),
    )
    const built = await buildRepository({ files: { ...files, large: noise(30_000_000, 1) } })
    const target = targetDirectory()
    const controller = new AbortController()
    let abortedMs = 0
    const stopped = restore(built, {
      target,
      signal: controller.signal,
      environment: testEnvironment({ threads: 2 }),
      onItem: () => {
        abortedMs ||= performance.now()
        controller.abort()
      },
    })
    await assert.rejects(stopped, { code: 'CAIRN_ABORTED' })
    assert.ok(performance.now() - abortedMs < 2000)
    assert.deepEqual(temporaryNames(target), [])
    assert.equal((await restore(built, { target, verify: true })).report.isComplete, true)
  })

  test('a dry run changes nothing and says the same as the run after it', async () => {
    const { built, target } = await prepared()
    writeFileSync(join(target, 'extra'), 'e')
    const before = describeTree(target)
    const dry = await restore(built, { target, dryRun: true, delete: true })
    assert.deepEqual(describeTree(target), before)
    const wet = await restore(built, { target, delete: true })
    assert.deepEqual([...dry.items].sort(), [...wet.items].sort())
    const absent = `${target}/none/target`
    const fresh = await restore(built, { target: absent, dryRun: true })
    assert.equal(fresh.report.counts.files_restored, 6)
    assert.equal(existsSync(absent), false)
  })
})

describe('restoreSnapshot() with delete', () => {
  const files = { 'home/ann/doc': Buffer.from('d'), 'srv/www/index': Buffer.from('i') }
  const sourcePaths = ['/home/ann', '/srv/www']

  test('R5: only inside the roots of the snapshot', async () => {
    const built = await buildRepository({ files })
    const target = targetDirectory()
    for (const path of ['home/bob', 'home/ann/old/deep', 'srv/www', 'etc']) {
      mkdirSync(join(target, path), { recursive: true })
      writeFileSync(join(target, path, 'extra'), 'x')
    }
    symlinkSync('/etc', join(target, 'home/ann/etc'))
    const { report, items } = await restore(built, { target, delete: true, sourcePaths })
    assert.equal(report.counts.files_deleted, 3)
    assert.deepEqual(items.filter((item) => item.startsWith('deleted')).sort(), [
      'deleted /home/ann/etc',
      'deleted /home/ann/old',
      'deleted /srv/www/extra',
    ])
    for (const path of ['home/bob/extra', 'etc/extra', 'home/ann/doc']) {
      assert.ok(existsSync(join(target, path)), path)
    }
    assert.ok(existsSync('/etc/passwd'))
  })

  test('R5: / is refused unless something is chosen', async () => {
    const built = await buildRepository({ files })
    const refused = restore(built, { target: '/', delete: true, dryRun: true })
    await assert.rejects(refused, { code: 'CAIRN_USAGE' })
    const include = [compilePatterns(['/no/such/thing'])]
    const { items } = await restore(built, { target: '/', delete: true, dryRun: true, include })
    assert.deepEqual(items, [])
  })

  test('R5: a directory that is not wholly known keeps everything; what is excluded stays', async () => {
    const built = await buildRepository({
      files: {
        'a/known': Buffer.from('k'),
        lost: { type: 'directory', subtree: { id: noise(32, 1), height: 0 } },
      },
    })
    const target = targetDirectory()
    for (const path of ['a', 'lost']) {
      mkdirSync(join(target, path))
      writeFileSync(join(target, path, 'extra'), 'x')
      writeFileSync(join(target, path, 'kept.log'), 'x')
    }
    await restore(built, { target, delete: true, exclude: [compilePatterns(['*.log'])] })
    assert.deepEqual(readdirSync(join(target, 'a')), ['kept.log', 'known'])
    assert.deepEqual(readdirSync(join(target, 'lost')), ['extra', 'kept.log'])
  })
})
