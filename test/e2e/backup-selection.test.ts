/** Which files a backup takes: patterns, lists, devices, and never the repository itself. */

import { spawnSync } from 'node:child_process'
import { symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { type Box, isRoot, newRepository } from '../support/run-cairn.ts'

async function filled(): Promise<Box> {
  const box = await newRepository()
  for (const name of ['b.tmp', 'B.TMP', 'work/c.txt', 'work/c.tmp', 'work/deep/d.txt'])
    box.write(name)
  return box
}

const ALL = [
  'B.TMP',
  'a.txt',
  'b.tmp',
  'work',
  'work/c.tmp',
  'work/c.txt',
  'work/deep',
  'work/deep/d.txt',
]

describe('what is left out', () => {
  /** Backs up with `options` and expects everything but `missing`. */
  async function expectMissing(box: Box, options: readonly string[], missing: readonly string[]) {
    await box.succeed(['backup', ...options, box.source])
    const expected = ALL.filter((name) => !missing.includes(name))
    expect({ options, found: await box.list() }).toEqual({ options, found: expected })
  }

  test('--exclude and --iexclude, with and without anchors, ** and !', async () => {
    const box = await filled()
    await expectMissing(box, [], [])
    await expectMissing(box, ['--exclude', '*.tmp'], ['b.tmp', 'work/c.tmp'])
    await expectMissing(box, ['--iexclude', '*.tmp'], ['B.TMP', 'b.tmp', 'work/c.tmp'])
    await expectMissing(
      box,
      ['-e', 'work'],
      ALL.filter((name) => name.startsWith('work')),
    )
    await expectMissing(box, ['-e', `${box.source}/work/*.txt`], ['work/c.txt'])
    await expectMissing(box, ['-e', '/work'], [])
    await expectMissing(box, ['-e', '*.tmp', '-e', '!b.tmp'], ['work/c.tmp'])
    await expectMissing(box, ['-e', 'source/**/d.txt'], ['work/deep/d.txt'])
  })

  test('--exclude-file with comments and variables, --iexclude-file', async () => {
    const box = await filled()
    const file = join(box.path, 'patterns')
    writeFileSync(file, '# a comment\n\n$NAMED\nwork/*.tmp\n')
    const environment = { NAMED: 'a.txt' }
    await box.succeed(['backup', '--exclude-file', file, box.source], { environment })
    const missing = ['a.txt', 'work/c.tmp']
    expect(await box.list()).toEqual(ALL.filter((name) => !missing.includes(name)))
    writeFileSync(file, 'A.TXT\n')
    await expectMissing(box, ['--iexclude-file', file], ['a.txt'])
    const { code } = await box.run(['backup', '--exclude-file', 'nowhere', box.source])
    expect(code).toBe(1)
  })

  test('--exclude-larger-than, --exclude-if-present, --exclude-caches', async () => {
    const box = await filled()
    box.write('a.txt', Buffer.alloc(2000))
    await expectMissing(box, ['--exclude-larger-than', '1k'], ['a.txt'])
    await expectMissing(box, ['--exclude-larger-than', '2000'], [])
    box.write('work/deep/.nobackup', 'x')
    const withTag = [...ALL, 'work/deep/.nobackup'].toSorted()
    await box.succeed(['backup', '--exclude-if-present', '.nobackup', box.source])
    expect(await box.list()).not.toContain('work/deep/d.txt')
    expect(await box.list()).toContain('work/deep/.nobackup')
    await box.succeed(['backup', '--exclude-if-present', '.nobackup:other', box.source])
    expect(await box.list()).toEqual(withTag)
    box.write('work/CACHEDIR.TAG', 'Signature: 8a477f597d28d172789f06886806bc55\n')
    await box.succeed(['backup', '--exclude-caches', box.source])
    const found = await box.list()
    expect(found).toContain('work/CACHEDIR.TAG')
    expect(found.some((name) => name.startsWith('work/c.'))).toBe(false)
  })

  test('the repository and the cache inside the source are left out, and that is said', async () => {
    const box = await filled()
    const { stdout, stderr } = await box.succeed(['backup', '--host', 'me', box.path])
    const said = `${stdout}${stderr}`
    expect(said.match(/left out[^\n]*the repository|the repository[^\n]*left out/g)).toHaveLength(1)
    const { stdout: listing } = await box.succeed(['ls', '-q', 'latest', '--host', 'me'])
    expect(listing).toContain(`${box.source}/work/c.txt\n`)
    expect(listing).not.toContain(`${box.repository}/packs`)
    expect(listing).not.toMatch(/cache\/cairn\/[0-9a-f]/)
    // Also through another path to it, and by its own name.
    symlinkSync(box.repository, join(box.source, 'way'))
    await box.succeed(['backup', box.source])
    expect(await box.list()).toContain('way')
    const alone = await box.run(['backup', box.repository])
    expect(alone.code).not.toBe(0)
  })

  const devices = '-x stays on the file system of what was named'
  test.skipIf(!isRoot)(`${devices}${isRoot ? '' : ' (needs root)'}`, async () => {
    const box = await filled()
    const mount = join(box.source, 'work/deep')
    const mounted = spawnSync('mount', ['-t', 'tmpfs', 'tmpfs', mount])
    expect(mounted.status).toBe(0)
    onTestFinished(() => void spawnSync('umount', [mount]))
    writeFileSync(join(mount, 'other'), 'on another device')
    await box.succeed(['backup', box.source])
    expect(await box.list()).toContain('work/deep/other')
    await box.succeed(['backup', '-x', box.source])
    const found = await box.list()
    expect(found).not.toContain('work/deep/other')
    expect(found).toContain('work/c.txt')
    await box.succeed(['backup', '-x', box.source, mount])
    expect(await box.list()).toContain('work/deep/other')
  })
})

describe('lists of files', () => {
  test('--files-from has patterns, --files-from-verbatim paths, -raw ends them with NUL', async () => {
    const box = await filled()
    const list = join(box.path, 'list')
    box.write('star*', 'literal')
    const at = (name: string) => join(box.source, name)
    writeFileSync(list, `# comment\n${at('*.t?t')}\n\n${at('work/deep')}\n`)
    await box.succeed(['backup', '--files-from', list])
    const globbed = await box.list()
    expect(globbed).toEqual(['a.txt', 'work', 'work/deep', 'work/deep/d.txt'])
    writeFileSync(list, `${at('star*')}\n`)
    await box.succeed(['backup', '--files-from-verbatim', list])
    expect(await box.list()).toEqual(['star*'])
    writeFileSync(list, `${at('b.tmp')}\0${at('work/c.txt')}\0`)
    await box.succeed(['backup', '--files-from-raw', list])
    expect(await box.list()).toEqual(['b.tmp', 'work', 'work/c.txt'])
  })

  test('lists join with operands, come from stdin, and may not be empty', async () => {
    const box = await filled()
    const input = `${join(box.source, 'b.tmp')}\n`
    await box.succeed(['backup', '--files-from', '-', join(box.source, 'a.txt')], { input })
    expect(await box.list()).toEqual(['a.txt', 'b.tmp'])
    const empty = await box.run(['backup', '--files-from-verbatim', '-'], { input: '' })
    expect(empty).toMatchObject({ code: 2, stdout: '' })
    expect(empty.stderr).toContain('the lists name no files')
    const missing = await box.run(['backup', '--files-from', 'nowhere'])
    expect(missing.code).toBe(1)
    expect(missing.stderr).toContain('nowhere')
  })

  test('a source that is named is taken although a pattern matches it', async () => {
    const box = await filled()
    await box.succeed([
      'backup',
      '--exclude',
      '*.tmp',
      join(box.source, 'b.tmp'),
      join(box.source, 'work'),
    ])
    expect(await box.list()).toEqual([
      'b.tmp',
      'work',
      'work/c.txt',
      'work/deep',
      'work/deep/d.txt',
    ])
  })
})
