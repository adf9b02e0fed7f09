import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { byteStringOf } from '../../src/base/bytes.ts'
import * as rules from '../../src/source/exclude-rules.ts'
import * as lists from '../../src/source/files-from.ts'
import { nodeSourceFiles } from '../../src/source/node-source-files.ts'
import { parseExcludeFile, trimSpace } from '../../src/source/pattern-file.ts'

const ENVIRONMENT = { HOME: '/home/u', EMPTY: '', é: 'never', x1: 'one', '1': 'digit', '-': 'dash' }

function parse(text: string): string[] {
  return parseExcludeFile(Buffer.from(text), ENVIRONMENT).map((line) =>
    Buffer.from(line, 'latin1').toString(),
  )
}

describe('parseExcludeFile()', () => {
  test.each([
    ['*.o\n\n  # comment\n#x\n \t \n/a b \r\n', ['*.o', '/a b']],
    ['last line', ['last line']],
    ['\u00a0\u3000x\u2003\n', ['x']],
    ['$HOME/.cache', ['/home/u/.cache']],
    ['${HOME}x/$x1', ['/home/ux/one']],
    ['$$HOME a$$', ['$HOME a$']],
    ['a$', ['a$']],
    ['$/x $.', ['$/x $.']],
    ['$UNSET/x${EMPTY}y', ['/xy']],
    ['${}x ${unclosed', ['x unclosed']],
    ['$1a $-b', ['digita dashb']],
    ['$é', ['$é']],
    ['!keep # not a comment', ['!keep # not a comment']],
    ['', []],
  ])('reads %j as restic does', (text, expected) => {
    expect(parse(text)).toEqual(expected)
  })

  test('reads files with a byte order mark', () => {
    const text = 'é\n#c\nb'
    const utf16 = Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from(text, 'utf16le')])
    const expected = [byteStringOf('é'), 'b']
    expect(parseExcludeFile(Buffer.from(`\ufeff${text}`), {})).toEqual(expected)
    expect(parseExcludeFile(utf16, {})).toEqual(expected)
    expect(parseExcludeFile(Buffer.from(utf16).swap16(), {})).toEqual(expected)
  })

  test('keeps bytes that are no UTF-8', () => {
    expect(parseExcludeFile(Buffer.from([0x61, 0xff, 0xfe, 0x0a, 0xfe]), {})).toEqual([
      'a\xff\xfe',
      '\xfe',
    ])
  })

  test('trimSpace() takes time linear in the line', () => {
    // Ten million steps; or 10^14, which is a day.
    expect(trimSpace(`${' '.repeat(10_000_000)}x${' '.repeat(10_000_000)}`)).toBe('x')
    expect(trimSpace(' '.repeat(10_000_000))).toBe('')
  })
})

describe('files-from', () => {
  let root: string
  const files = nodeSourceFiles()

  beforeAll(() => {
    root = mkdtempSync(join(tmpdir(), 'cairn-from-'))
    for (const name of ['a', 'b', 'a/x', 'b/x']) mkdirSync(join(root, name))
    for (const name of ['a/1.c', 'a/2.c', 'b/1.c', 'b/.hidden', 'a/x/[q]', 'a/x/q']) {
      writeFileSync(join(root, name), '')
    }
    symlinkSync('a', join(root, 'link'))
  })
  afterAll(() => rmSync(root, { recursive: true, force: true }))

  function expand(pattern: string): string[] {
    const { paths } = lists.parseFilesFrom(Buffer.from(join(root, pattern)), files)
    return paths.map((path) => path.slice(root.length + 1))
  }

  test.each([
    ['*/*.c', ['a/1.c', 'a/2.c', 'b/1.c', 'link/1.c', 'link/2.c']],
    ['?/1.c', ['a/1.c', 'b/1.c']],
    ['a', ['a']],
    ['a/x/\\[q]', ['a/x/[q]']],
    ['a/x/[q]', ['a/x/q']],
    ['b/*', ['b/.hidden', 'b/1.c', 'b/x']],
    ['**/1.c', ['a/1.c', 'b/1.c', 'link/1.c']],
    ['none/*', []],
    ['a/1.c/*', []],
  ])('expands %s', (pattern, expected) => {
    expect(expand(pattern)).toEqual(expected)
  })

  test('parseFilesFrom() names lines without a match, and skips comments', () => {
    const text = `# c\n\n ${root}/a \n${root}/none\n${root}/z*\n`
    expect(lists.parseFilesFrom(Buffer.from(text), files)).toEqual({
      paths: [`${root}/a`],
      unmatched: [`${root}/none`, `${root}/z*`],
    })
    expect(lists.expandGlob('src/base/err*.ts', files)).toEqual(['src/base/errors.ts'])
  })

  test('parseFilesFrom() refuses a malformed pattern', () => {
    expect(() => lists.parseFilesFrom(Buffer.from('/none/[a'), files)).toThrow("'/none/[a'")
  })

  test('parseFilesFromVerbatim() and parseFilesFromRaw() take lines as they are', () => {
    expect(lists.parseFilesFromVerbatim(Buffer.from('#a\n b \n\n*\r\nc'))).toEqual([
      '#a',
      ' b ',
      '*',
      'c',
    ])
    const raw = Buffer.from('a\nb\0\xff\0', 'latin1')
    expect(lists.parseFilesFromRaw(raw)).toEqual(['a\nb', '\xff'])
    expect(lists.parseFilesFromRaw(new Uint8Array())).toEqual([])
    for (const bad of ['a\0b', 'a\0\0b\0']) {
      expect(() => lists.parseFilesFromRaw(Buffer.from(bad))).toThrow(
        expect.objectContaining({ code: 'CAIRN_USAGE' }),
      )
    }
  })
})

describe('exclude rules', () => {
  let root: string
  const files = nodeSourceFiles()

  beforeAll(() => {
    root = mkdtempSync(join(tmpdir(), 'cairn-tags-'))
    writeFileSync(join(root, 'CACHEDIR.TAG'), `${rules.CACHE_TAG.header}\n# more`)
    writeFileSync(join(root, 'short'), 'Sig')
    writeFileSync(join(root, 'other'), '')
    mkdirSync(join(root, 'directory'))
  })
  afterAll(() => rmSync(root, { recursive: true, force: true }))

  function applied(tags: rules.DirectoryTag[]): rules.TaggedNames {
    const names = files.readDirectory(root)
    return rules.applyDirectoryTags({ tags, path: root, names, files })
  }

  test('applyDirectoryTags() leaves of a tagged directory only the tag', () => {
    expect(applied([rules.CACHE_TAG])).toEqual({ names: ['CACHEDIR.TAG'], doubtful: [] })
    expect(applied([rules.parseDirectoryTag('other')]).names).toEqual(['other'])
    expect(applied([rules.parseDirectoryTag('none')]).names).toHaveLength(4)
    expect(applied([rules.parseDirectoryTag('directory')]).names).toEqual(['directory'])
    expect(applied([rules.CACHE_TAG, rules.parseDirectoryTag('other')]).names).toEqual([])
  })

  test('applyDirectoryTags() names a tag that says something else', () => {
    for (const spec of ['short:Signature', 'other:x', 'directory:x', 'CACHEDIR.TAG:signature']) {
      const result = applied([rules.parseDirectoryTag(spec)])
      expect(result.names).toHaveLength(4)
      expect(result.doubtful).toEqual([join(root, spec.split(':')[0] ?? '')])
    }
    expect(applied([rules.parseDirectoryTag('short:Sig')]).names).toEqual(['short'])
  })

  test('parseDirectoryTag() keeps colons of the header and refuses an empty name', () => {
    expect(rules.parseDirectoryTag('a:b:c')).toEqual({ name: 'a', header: 'b:c' })
    for (const bad of ['', ':x', 'a/b']) {
      expect(() => rules.parseDirectoryTag(bad)).toThrow(
        expect.objectContaining({ code: 'CAIRN_USAGE' }),
      )
    }
  })

  test('isLargerThan() is of files only', () => {
    const stat = files.lstat(join(root, 'short'))
    const directory = files.lstat(root)
    if (!stat || !directory) return expect.unreachable()
    expect([rules.isLargerThan(stat, 2), rules.isLargerThan(stat, 3)]).toEqual([true, false])
    expect(rules.isLargerThan(directory, 0)).toBe(false)
  })
})
