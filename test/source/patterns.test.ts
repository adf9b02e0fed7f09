import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { byteStringOf } from '../../src/base/bytes.ts'
import { isCairnError } from '../../src/base/errors.ts'
import { compileComponent } from '../../src/source/glob-component.ts'
import { cleanPath, compilePatterns } from '../../src/source/patterns.ts'

function matches(patterns: string[], path: string, caseInsensitive = false): boolean {
  const matcher = compilePatterns(patterns.map(byteStringOf), { caseInsensitive })
  return matcher.matches(byteStringOf(path))
}

// The table of Go's path/filepath/match_test.go, without '/' in patterns, which cairn splits before.
const GO_CASES: [pattern: string, name: string, expected: boolean | 'malformed'][] = [
  ['abc', 'abc', true],
  ['*', 'abc', true],
  ['*c', 'abc', true],
  ['a*', 'a', true],
  ['a*', 'abc', true],
  ['a*b*c*d*e*', 'axbxcxdxe', true],
  ['a*b?c*x', 'abxbbxdbxebxczzx', true],
  ['a*b?c*x', 'abxbbxdbxebxczzy', false],
  ['ab[c]', 'abc', true],
  ['ab[b-d]', 'abc', true],
  ['ab[e-g]', 'abc', false],
  ['ab[^c]', 'abc', false],
  ['ab[^b-d]', 'abc', false],
  ['ab[^e-g]', 'abc', true],
  ['a\\*b', 'a*b', true],
  ['a\\*b', 'ab', false],
  ['a?b', 'a☺b', true],
  ['a[^a]b', 'a☺b', true],
  ['a???b', 'a☺b', false],
  ['a[^a][^a][^a]b', 'a☺b', false],
  ['[a-ζ]*', 'α', true],
  ['*[a-ζ]', 'A', false],
  ['[\\]a]', ']', true],
  ['[\\-]', '-', true],
  ['[x\\-]', 'x', true],
  ['[x\\-]', '-', true],
  ['[x\\-]', 'z', false],
  ['[\\-x]', 'x', true],
  ['[\\-x]', '-', true],
  ['[\\-x]', 'a', false],
  ['[]a]', ']', 'malformed'],
  ['[-]', '-', 'malformed'],
  ['[x-]', 'x', 'malformed'],
  ['[-x]', 'x', 'malformed'],
  ['\\', 'a', 'malformed'],
  ['[a-b-c]', 'a', 'malformed'],
  ['[', 'a', 'malformed'],
  ['[^', 'a', 'malformed'],
  ['[^bc', 'a', 'malformed'],
  ['a[', 'a', 'malformed'],
  ['a[', 'ab', 'malformed'],
  ['a[', 'x', 'malformed'],
  ['*x', 'xxx', true],
  ['**', 'abc', true],
  ['a**c', 'abbbc', true],
  ['?', '', false],
  ['*', '', true],
  ['', '', true],
  ['', 'a', false],
]

test.each(GO_CASES)('compileComponent(%j) on %j is as in Go: %s', (pattern, name, expected) => {
  const matcher = compileComponent(byteStringOf(pattern))
  expect(matcher === undefined ? 'malformed' : matcher(byteStringOf(name))).toBe(expected)
})

test('compileComponent() takes a byte that is no UTF-8 for one character', () => {
  expect(compileComponent('a?b')?.('a\xffb')).toBe(true)
  expect(compileComponent('a?b')?.('a\xc3\xa9b')).toBe(true)
  expect(compileComponent('a??b')?.('a\xc3\xa9b')).toBe(false)
  expect(compileComponent('a\xff*')?.('a\xffzz')).toBe(true)
  expect(compileComponent('[\xff]')).toBeUndefined()
})

// restic's internal/filter/filter_test.go and its documentation.
const PATH_CASES: [pattern: string, path: string, expected: boolean][] = [
  ['*.go', '/foo/bar/test.go', true],
  ['*.c', '/foo/bar/test.go', false],
  ['*', '/foo/bar/test.go', true],
  ['**', '/foo/bar/test.go', true],
  ['foo*', '/foo/bar/test.go', true],
  ['bar*', '/foo/bar/test.go', true],
  ['/foo*', '/foo/bar/test.go', true],
  ['/bar*', '/foo/bar/test.go', false],
  ['bar/*.go', '/foo/bar/test.go', true],
  ['foo/*.go', '/foo/bar/test.go', false],
  ['foo/*/*.go', '/foo/bar/test.go', true],
  ['foo/**/*.go', '/foo/bar/test.go', true],
  ['foo/**/*.go', '/foo/test.go', true],
  ['foo/**/bar/**/baz', '/x/foo/1/2/bar/3/baz', true],
  ['foo/**/bar/**/baz', '/x/foo/1/2/bar3/baz', false],
  ['/foo/**/bar', '/foo/bar', true],
  ['/foo/**/bar', '/x/foo/bar', false],
  ['foo/**', '/foo', true],
  ['foo', '/foobar', false],
  ['foo', '/a/foo/b/c', true],
  ['/foo', '/a/foo', false],
  ['/foo', '/foo/a/b', true],
  ['foo/', '/a/foo', true],
  ['./foo', '/a/foo', true],
  ['a//b', '/x/a/b', true],
  ['a/../b', '/x/b', true],
  ['/', '/', true],
  ['/', '/foo', true],
  ['/**', '/', true],
  ['**', '/', false],
  ['/home/*/.cache', '/home/user/.cache/thumbnails', true],
  ['/home/*/.cache', '/home/a/b/.cache', false],
  ['/home/user/*', '/home/user', false],
  ['**/node_modules', '/a/b/node_modules/c', true],
  ['work', '/home/Work', false],
  ['a/b', '/a/x/b', false],
  ['/a/**/b/c', '/a/1/b/2/b/c', true],
]

test.each(PATH_CASES)('compilePatterns(%j) on %s: %s', (pattern, path, expected) => {
  expect(matches([pattern], path)).toBe(expected)
})

test.each(PATH_CASES)(
  'a name in a directory is matched like its path: %j, %s',
  (pattern, path, expected) => {
    const slash = path.lastIndexOf('/')
    const [directory, name] = [path.slice(0, slash), path.slice(slash + 1)].map(byteStringOf)
    const matcher = compilePatterns([byteStringOf(pattern)])
    matcher.matchesIn('/elsewhere', 'x')
    expect(matcher.matchesIn(directory ?? '', name ?? '')).toBe(expected)
  },
)

describe('compilePatterns()', () => {
  test('takes back with ! what patterns before covered, in their order (E23)', () => {
    expect(matches(['*.txt', '!keep.txt'], '/a/keep.txt')).toBe(false)
    expect(matches(['*.txt', '!keep.txt'], '/a/other.txt')).toBe(true)
    expect(matches(['!keep.txt', '*.txt'], '/a/keep.txt')).toBe(true)
    expect(matches(['*', '!keep', 'keep/not'], '/keep/not/x')).toBe(true)
    expect(matches(['*', '!keep', 'keep/not'], '/keep/else')).toBe(false)
  })

  test('folds case of ASCII and other letters only when asked', () => {
    expect(matches(['*.JPG'], '/a/b.jpg', true)).toBe(true)
    expect(matches(['*.JPG'], '/a/b.jpg')).toBe(false)
    expect(matches(['ÄÖ*'], '/a/äÖü', true)).toBe(true)
    expect(matches(['[A-C]x'], '/BX', true)).toBe(true)
    const matcher = compilePatterns(['\xffA'], { caseInsensitive: true })
    expect(matcher.matches('/\xffa')).toBe(true)
    expect(matcher.matches('/\xdfa')).toBe(false)
  })

  test('answers the same in whatever order paths are asked', () => {
    const patterns = ['/a/*/c', 'x/y', '**/q*', '!keep', 'a/**/z', '/b/**/d']
    const names = fc.constantFrom('a', 'b', 'c', 'd', 'x', 'y', 'z', 'q1', 'keep')
    const paths = fc.array(fc.array(names, { maxLength: 5 }), { maxLength: 12 })
    const shared = compilePatterns(patterns)
    fc.assert(
      fc.property(paths, (asked) => {
        for (const components of asked) {
          const path = `/${components.join('/')}`
          expect(shared.matches(path)).toBe(compilePatterns(patterns).matches(path))
        }
      }),
    )
  })

  test('mayMatchBelow() lets a restore enter only what can hold a match', () => {
    const matcher = compilePatterns(['/home/user/docs', '/srv/**/x', '/var/lib/*'])
    const may = ['/', '/home', '/home/user', '/home/user/docs/a/b', '/srv/a/b', '/var/lib/q/z']
    const mayNot = ['/home/other', '/etc', '/home/user/music', '/var/log']
    expect(may.filter((path) => !matcher.mayMatchBelow(path))).toEqual([])
    expect(mayNot.filter((path) => matcher.mayMatchBelow(path))).toEqual([])
    expect(compilePatterns(['x']).mayMatchBelow('/any/where')).toBe(true)
    expect(compilePatterns([]).mayMatchBelow('/')).toBe(false)
    expect(compilePatterns(['/a', '!/a/b']).mayMatchBelow('/a/b')).toBe(false)
  })

  test('mayMatchBelow() never denies a match below', () => {
    const part = fc.constantFrom('a', 'b', '*', '**', '?', 'a*')
    const pattern = fc.tuple(fc.boolean(), fc.array(part, { minLength: 1, maxLength: 4 }))
    const path = fc.array(fc.constantFrom('a', 'b', 'ab'), { minLength: 1, maxLength: 5 })
    fc.assert(
      fc.property(fc.array(pattern, { minLength: 1, maxLength: 3 }), path, (list, components) => {
        const matcher = compilePatterns(
          list.map(([root, parts]) => (root ? '/' : '') + parts.join('/')),
        )
        if (!matcher.matches(`/${components.join('/')}`)) return
        for (let depth = 0; depth < components.length; depth++) {
          expect(matcher.mayMatchBelow(`/${components.slice(0, depth).join('/')}`)).toBe(true)
        }
      }),
    )
  })

  test.each(['a[', 'x/[z-', 'foo\\', '!a[', '[]x]', 'a\\/b'])(
    'refuses %j and names it',
    (pattern) => {
      try {
        compilePatterns(['fine', pattern])
        expect.unreachable()
      } catch (error) {
        expect(isCairnError(error, 'CAIRN_USAGE')).toBe(true)
        expect((error as Error).message).toContain(`'${pattern}'`)
      }
    },
  )

  test('never throws anything but CAIRN_USAGE, on any bytes', () => {
    const bytes = fc.uint8Array({ maxLength: 40 }).map((all) => Buffer.from(all).toString('latin1'))
    const odd = fc.string({
      unit: fc.constantFrom('*', '?', '[', ']', '\\', '^', '-', '/', '!', 'a', '\xc3'),
    })
    fc.assert(
      fc.property(
        fc.oneof(bytes, odd),
        fc.oneof(bytes, odd),
        fc.boolean(),
        (pattern, path, fold) => {
          try {
            const matcher = compilePatterns([pattern], { caseInsensitive: fold })
            expect(typeof matcher.matches(`/${path}`)).toBe('boolean')
            expect(typeof matcher.mayMatchBelow(`/${path}`)).toBe('boolean')
          } catch (error) {
            if (!isCairnError(error, 'CAIRN_USAGE')) throw error
          }
        },
      ),
      { numRuns: 3_000 },
    )
  })

  // Each of these takes a backtracking matcher longer than the age of the universe: it never returns.
  test.each([
    ['a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b', `/${'a'.repeat(250)}`],
    ['*?*?*?*?*?*?*?*?*?*?*?*?*?*?*?*x', `/${'y'.repeat(250)}`],
    [`${'**/a/'.repeat(40)}b`, '/a'.repeat(2_000)],
    [`${'**/*/'.repeat(40)}b`, '/c'.repeat(2_000)],
    [`/${'**/a*a*a*/'.repeat(20)}b`, `/${'a'.repeat(200)}`.repeat(19)],
  ])('answers %s in time linear in the path (E23)', (pattern, path) => {
    expect(compilePatterns([pattern]).matches(path)).toBe(false)
  })
})

test.each([
  ['', '.'],
  ['/', '/'],
  ['//a///b/', '/a/b'],
  ['./a/./b', 'a/b'],
  ['a/../../b', '../b'],
  ['/../a', '/a'],
  ['..', '..'],
])('cleanPath(%j) is %j', (path, expected) => {
  expect(cleanPath(path)).toBe(expected)
})
