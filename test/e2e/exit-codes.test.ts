/** What scripts rely on: exit codes, and what is said on stderr. */

import { chmodSync, chownSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { isRoot, jsonLines, newBox, newRepository } from '../support/run-cairn.ts'

/** Every command that opens a repository. */
const OPENING = [
  ['snapshots'],
  ['ls', 'latest'],
  ['cat', 'config'],
  ['backup', '.'],
  ['backup', '--dry-run', '.'],
]

test('12: a wrong password opens nothing', async () => {
  const box = await newRepository({ withPassword: true })
  const environment = { CAIRN_PASSWORD: 'wrong horse' }
  for (const command of OPENING) {
    const { code, stderr } = await box.run(command, { environment })
    expect({ command, code }).toEqual({ command, code: 12 })
    expect(stderr).toContain('Fatal: wrong password or no key found')
    expect(stderr).not.toContain('horse')
  }
  expect(await box.snapshots()).toEqual([])
})

test('10: where there is no repository, that is said with a cure, and none is made', async () => {
  const box = newBox()
  for (const exists of [false, true]) {
    if (exists) mkdirSync(box.repository)
    for (const command of OPENING) {
      const { code, stderr } = await box.run(command)
      expect({ command, exists, code }).toEqual({ command, exists, code: 10 })
      expect(stderr).toContain("create one with 'cairn init' or 'cairn backup --init'")
    }
  }
  expect(box.repositoryFiles()).toEqual([])
})

test('21: a repository path that is a file is left as it is', async () => {
  const box = newBox()
  writeFileSync(box.repository, 'precious')
  for (const command of [...OPENING, ['init'], ['backup', '--init', '.']]) {
    const { code, stderr } = await box.run(command)
    expect({ command, code }).toEqual({ command, code: 21 })
    expect(stderr).toMatch(/^Fatal: .*not a directory/)
  }
})

test.skipIf(process.platform !== 'linux')(
  'where no directory can be made, a restore says so, and a cache only costs time',
  async () => {
    const box = await newRepository()
    // There mkdir says of any name that something is missing, although all above it is there.
    const nowhere = '/proc/cairn'
    await box.succeed(['backup', 'source'])
    const restored = await box.run(['restore', 'latest', '--target', `${nowhere}/out`])
    expect(restored.code).toBe(1)
    expect(restored.stderr).toContain('ENOENT')
    const cached = await box.succeed(['backup', 'source'], {
      environment: { CAIRN_CACHE_DIR: nowhere },
    })
    expect(cached.stderr).toContain('no cache is used, which only costs time')
  },
)

test('1: init where there is a repository makes no second one', async () => {
  const box = await newRepository()
  const before = box.repositoryFiles()
  const { code, stderr } = await box.run(['init'])
  expect(code).toBe(1)
  expect(stderr).toContain('there is a repository already')
  expect(box.repositoryFiles()).toEqual(before)
})

describe('2: usage', () => {
  test('what cannot be understood is said before anything is done', async () => {
    const box = newBox()
    const cases: readonly [readonly string[], string][] = [
      [['snapshtos'], "'snapshtos' is not a command of cairn; did you mean 'snapshots'?"],
      [['frobnicate'], "'frobnicate' is not a command of cairn; see 'cairn help'"],
      [['backup', '--exlude', 'x', '.'], "did you mean '--exclude'?"],
      [['backup'], 'nothing to back up'],
      [['backup', '--stdin', 'file'], '--stdin takes no files'],
      [['snapshots', '--latest', 'x'], "'x' is not a value of --latest"],
      [['snapshots', '--group-by', 'size'], "'size' is not a value of --group-by"],
      [['ls'], 'no snapshot given'],
      [['ls', 'latest', 'relative'], "'relative' is not an absolute path"],
      [['ls', '--sort', 'ctime', 'latest'], 'cannot sort by ctime'],
      [['cat', 'everything'], "'everything' is nothing that 'cat' shows"],
      [['cat', 'masterkey'], 'cairn prints no key'],
      [['-q', '-v', 'snapshots'], '--quiet and --verbose exclude each other'],
    ]
    for (const [command, message] of cases) {
      const { code, stdout, stderr } = await box.run(command)
      expect({ command, code, stdout }).toEqual({ command, code: 2, stdout: '' })
      expect(stderr).toContain(message)
    }
    expect(existsSync(box.repository)).toBe(false)
  })

  test('no repository, no password, an empty password', async () => {
    const box = await newRepository({ withPassword: true })
    const noRepository = await box.run(['snapshots'], { environment: { CAIRN_REPOSITORY: '' } })
    expect(noRepository).toMatchObject({ code: 2, stdout: '' })
    expect(noRepository.stderr).toContain('no repository given')
    const noPassword = { CAIRN_PASSWORD: undefined }
    const asked = await box.run(['snapshots'], { environment: noPassword })
    expect(asked.code).toBe(2)
    expect(asked.stderr).toContain('no password given, and no terminal to ask for it on')
    const file = join(box.path, 'password')
    writeFileSync(file, '  \n')
    const empty = await box.run(['init', '-r', 'new', '-p', file], { environment: noPassword })
    expect(empty.code).toBe(2)
    expect(empty.stderr).toContain('an empty password protects nothing')
    expect(existsSync(join(box.path, 'new/config'))).toBe(false)
  })
})

test('with --json the last line on stderr is exit_error with the code', async () => {
  const box = await newRepository({ withPassword: true })
  const cases = [
    { command: ['snapshots', '--json'], environment: { CAIRN_PASSWORD: 'x' }, code: 12 },
    { command: ['backup', '--json', 'nowhere'], environment: {}, code: 1 },
    { command: ['ls', '--json', 'latest'], environment: { CAIRN_REPOSITORY: 'none' }, code: 10 },
    { command: ['ls', '--json', 'abcdef12'], environment: {}, code: 1 },
    { command: ['snapshots', '--json', '--latest', '0'], environment: {}, code: 2 },
  ]
  for (const { command, environment, code } of cases) {
    const finished = await box.run(command, { environment })
    const last = jsonLines(finished.stderr).at(-1)
    expect(last).toEqual({ message_type: 'exit_error', code, message: expect.any(String) })
    expect(finished.code).toBe(code)
  }
})

describe('sources that cannot be read', () => {
  test('1: none of them: no snapshot', async () => {
    const box = await newRepository()
    const { code, stderr } = await box.run(['backup', join(box.source, 'nowhere')])
    expect(code).toBe(1)
    expect(stderr).toContain('none of the sources could be read')
    expect(stderr).toContain(join(box.source, 'nowhere'))
    expect(await box.snapshots()).toEqual([])
  })

  test('3: one of them is missing: a snapshot of the others', async () => {
    const box = await newRepository()
    const finished = await box.run(['backup', box.source, join(box.path, 'nowhere')])
    expect(finished.code).toBe(3)
    expect(finished.stderr).toContain('Warning: at least one source file could not be read')
    expect(finished.stdout).toMatch(/snapshot [0-9a-f]{8} saved/)
    expect(await box.list()).toEqual(['a.txt'])
  })

  const title = 'a file and a directory without permission are named, the rest is saved'
  test.skipIf(!isRoot)(`3: ${title}${isRoot ? '' : ' (needs root)'}`, async () => {
    const box = newBox()
    chmodSync(box.path, 0o755)
    for (const path of [box.home, box.cache, box.path, join(box.path, 'key')])
      chownSync(path, 65_534, 65_534)
    const secret = box.write('secret.txt')
    box.write('locked/inside.txt')
    box.write('open.txt')
    chmodSync(secret, 0o600)
    chmodSync(join(box.source, 'locked'), 0o700)
    await box.succeed(['init'], { asOther: true })
    const finished = await box.run(['backup', '--json', box.source], { asOther: true })
    expect(finished.code).toBe(3)
    const errors = jsonLines(finished.stderr).filter((line) => line.message_type === 'error')
    const items = errors.map((line) => `${line.during} ${line.item}`).toSorted()
    expect(items).toEqual([`archival ${join(box.source, 'locked')}`, `archival ${secret}`])
    expect(errors[0].error.message).toMatch(/permission|EACCES/i)
    expect(jsonLines(finished.stderr).at(-1)).toMatchObject({ message_type: 'exit_error', code: 3 })
    const listed = await box.list()
    expect(listed).toContain('open.txt')
    expect(listed).not.toContain('secret.txt')
    expect(listed).not.toContain('locked/inside.txt')
    // Not called unchanged ever after: once it can be read, it is in.
    chmodSync(secret, 0o644)
    rmSync(join(box.source, 'locked'), { recursive: true })
    await box.succeed(['backup', box.source], { asOther: true })
    expect(await box.list()).toEqual(['open.txt', 'secret.txt'])
  })
})
