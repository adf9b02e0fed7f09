/** The package as it would be published: what is in it, and that it works where it is installed. */

import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { packedPackage } from '../support/packed-package.ts'

/** The example of README.md, as it is there. */
function example(): string {
  const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')
  const found = /## As a library\n[^]*?```js\n([^]*?)```/.exec(readme)?.[1]
  if (found === undefined) throw new Error('README.md has no example of the library')
  return found
}

test('holds the program, the library, its types and the format, and nothing else', () => {
  const { files } = packedPackage()
  const others = files.filter((path) => !/^dist\/[a-z]+\/.*\.(?:js|d\.ts)$/.test(path))
  expect(others.toSorted((a, b) => (a < b ? -1 : 1))).toEqual([
    'FORMAT.md',
    'LICENSE',
    'README.md',
    'bin/cairn.js',
    'package.json',
  ])
  expect(files).toContain('dist/library/index.js')
  expect(files).toContain('dist/library/index.d.ts')
  expect(files.filter((path) => /(?:^|\/)(?:bench|simulation|test)\//.test(path))).toEqual([])
})

test("README.md's example of the library runs where the package is installed", () => {
  const { project } = packedPackage()
  mkdirSync(join(project, 'documents'))
  writeFileSync(join(project, 'documents', 'letter.txt'), 'Dear Ann,\n')
  writeFileSync(join(project, 'documents', 'a.tmp'), 'x')
  writeFileSync(join(project, 'package.json'), '{"type":"module"}')
  writeFileSync(join(project, 'example.js'), example())
  const run = () =>
    execFileSync(process.execPath, ['example.js'], {
      cwd: project,
      encoding: 'utf8',
      env: { PATH: process.env['PATH'], HOME: project, XDG_CACHE_HOME: join(project, 'cache') },
    })
  const first = run()
  expect(first).toMatch(/^1 new files in snapshot [0-9a-f]{64}\n/)
  expect(first).toContain('/documents/letter.txt 10\nDear Ann,\n0 bytes freed\n0 errors\n')
  expect(readFileSync(join(project, 'restored/documents/letter.txt'), 'utf8')).toBe('Dear Ann,\n')
  expect(run()).toMatch(/^0 new files in snapshot/)
})

function tool(name: string): string | undefined {
  const path = new URL(`../../node_modules/.bin/${name}`, import.meta.url).pathname
  return existsSync(path) ? path : undefined
}

describe.each([
  ['publint', ['run', '--strict']],
  ['attw', ['--profile', 'esm-only']],
] as const)('%s', (name, flags) => {
  const path = tool(name)
  const reason = path === undefined ? ` (${name} is not installed)` : ''
  test.skipIf(path === undefined)(`finds nothing wrong with the package${reason}`, () => {
    const { tarball } = packedPackage()
    const { status, stdout, stderr } = spawnSync(path ?? '', [...flags, tarball], {
      encoding: 'utf8',
    })
    expect({ status, output: status === 0 ? '' : stdout + stderr }).toEqual({
      status: 0,
      output: '',
    })
  })
})

test('gives its types to programs in TypeScript, and its program a name', () => {
  const { project, path } = packedPackage()
  writeFileSync(
    join(project, 'use.mts'),
    `import { openRepository, type BackupResult, CairnError, type ErrorCode } from 'cairn'
const repository = await openRepository({ location: 'x', secret: async () => ({ key: new Uint8Array(32) }) })
const result: BackupResult = await repository.backup({ paths: ['a'], signal: new AbortController().signal })
const code: ErrorCode = new CairnError('CAIRN_FAILED', 'x').code
// @ts-expect-error there is no such option
await repository.restore('latest', { destination: 'x' })
export { code, result }
`,
  )
  const tsc = new URL('../../node_modules/.bin/tsc', import.meta.url).pathname
  const flags = '--noEmit --strict --module nodenext --target es2023 --types node'.split(' ')
  execFileSync(tsc, [...flags, 'use.mts'], { cwd: project, stdio: 'pipe' })
  const version = execFileSync(process.execPath, [join(path, 'bin/cairn.js'), 'version'], {
    encoding: 'utf8',
  })
  expect(version).toMatch(/^cairn 0\./)
})
