/** Several keys, from the command line. */

import { execFileSync } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { type Box, type Json, jsonLines, newBox, newRepository } from '../support/run-cairn.ts'

/** Writes a raw key and returns the environment that opens with it. */
function keyFile(box: Box, digit: string) {
  const path = join(box.path, `key-${digit}`)
  writeFileSync(path, digit.repeat(64), { mode: 0o600 })
  return { path, environment: { CAIRN_KEY_FILE: path } }
}

async function listKeys(box: Box): Promise<Json[]> {
  const { stdout } = await box.succeed(['key', 'list', '--json'])
  return JSON.parse(stdout) as Json[]
}

test('key add, list, passwd and remove', async () => {
  const box = await newRepository()
  const second = keyFile(box, '2')
  const options = ['--new-key-file', second.path, '--user', 'ann', '--host', 'web1']
  const added = await box.succeed(['key', 'add', ...options])
  const keys = await listKeys(box)
  expect(keys).toHaveLength(2)
  const own = keys.find(({ current }) => current)
  const other = keys.find(({ current }) => !current)
  expect(own).toMatchObject({ current: true, role: 'admin' })
  expect(other).toMatchObject({ current: false, userName: 'ann', hostName: 'web1', role: 'admin' })
  expect(other.created).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/)
  expect(added.stdout).toBe(`saved new admin key with ID ${other.id.slice(0, 8)}\n`)
  const table = (await box.succeed(['key', 'list'], second)).stdout.split('\n')
  expect(table[0]).toMatch(/^ ID +User +Host +Created +Role$/)
  expect(table.find((line) => line.startsWith('*'))).toContain(`*${other.id.slice(0, 8)}  ann`)

  const third = keyFile(box, '3')
  await box.succeed(['key', 'passwd', '--new-key-file', third.path], second)
  expect((await box.run(['snapshots'], second)).code).toBe(12)
  expect((await box.run(['snapshots'], third)).code).toBe(0)

  const newer = (await listKeys(box)).find((key) => !key.current)
  const refused = await box.run(['key', 'remove', own.id])
  expect(refused).toMatchObject({ code: 1 })
  expect(refused.stderr).toContain('use another key to remove it')
  expect((await box.run(['key', 'remove', 'ffff'])).code).toBe(1)
  await box.succeed(['key', 'remove', newer.id.slice(0, 8)])
  expect((await box.run(['snapshots'], third)).code).toBe(12)
  expect(await listKeys(box)).toHaveLength(1)
  expect((await box.succeed(['key', 'list'])).stdout).toContain('There is one key only')
})

test('keys that several processes add at once are all there', async () => {
  const box = await newRepository()
  const digits = ['1', '2', '3', '4']
  const added = await Promise.all(
    digits.map((digit) => box.run(['key', 'add', '--new-key-file', keyFile(box, digit).path])),
  )
  // What they see of each other meanwhile may be worth a warning, and is no failure.
  expect(added.map(({ code }) => code)).toEqual(digits.map(() => 0))
  expect(await listKeys(box)).toHaveLength(5)
  for (const digit of digits) {
    expect((await box.run(['snapshots'], keyFile(box, digit))).code).toBe(0)
  }
})

test('a writer key makes backups and reads none', async () => {
  const box = await newRepository()
  const writer = keyFile(box, '2')
  await box.succeed(['key', 'add', '--role', 'writer', '--new-key-file', writer.path])
  await box.succeed(['backup', box.source], writer)
  for (const command of [
    ['ls', 'latest'],
    ['restore', 'latest', '-t', join(box.path, 'out')],
    ['key', 'add', '--new-insecure-no-password'],
  ]) {
    const { code, stderr } = await box.run(command, writer)
    expect({ command, code }).toEqual({ command, code: 12 })
    expect(stderr).toMatch(/use an admin key|may write backups but not read them/)
  }
  expect((await box.succeed(['key', 'export'], writer)).stderr).toContain('restores nothing')
  expect((await box.succeed(['key', 'export'])).stderr).toBe('')
  expect(await box.list()).toContain('a.txt')
})

test('a reader key restores, checks and makes backups, and takes nothing away', async () => {
  const box = await newRepository()
  const reader = keyFile(box, '2')
  await box.succeed(['backup', box.source])
  await box.succeed(['key', 'add', '--role', 'reader', '--new-key-file', reader.path])
  writeFileSync(join(box.source, 'of the reader.txt'), 'new')
  await box.succeed(['backup', box.source], reader)
  await box.succeed(['restore', 'latest', '-t', join(box.path, 'out')], reader)
  await box.succeed(['check', '--read-data'], reader)
  for (const command of [
    ['forget', 'latest'],
    ['tag', '--add', 'x', 'latest'],
    ['prune'],
    ['repair', 'index'],
    ['key', 'add', '--new-insecure-no-password'],
  ]) {
    const { code, stderr } = await box.run(command, reader)
    expect({ command, code }).toEqual({ command, code: 12 })
    expect(stderr).toContain('use an admin key')
  }
  const { stdout } = await box.succeed(['snapshots', '--json'])
  expect(JSON.parse(stdout)).toHaveLength(2)
  expect(await box.list()).toContain('of the reader.txt')
})

test('passwords: from a file, from nowhere, and the empty one', async () => {
  const box = await newRepository({ withPassword: true })
  const file = join(box.path, 'new')
  writeFileSync(file, 'battery staple\n')
  await box.succeed(['key', 'passwd', '--new-password-file', file])
  const changed = { environment: { CAIRN_PASSWORD: 'battery staple' } }
  expect((await box.run(['snapshots'])).code).toBe(12)
  const unasked = await box.run(['key', 'add'], changed)
  expect(unasked).toMatchObject({ code: 2 })
  expect(unasked.stderr).toContain('no new password given')
  const both = await box.run(['key', 'add', '--new-insecure-no-password', '--new-key-file', 'x'])
  expect(both.stderr).toContain('exclude each other')
  await box.succeed(['key', 'passwd', '--new-insecure-no-password'], changed)
  const none = { environment: { CAIRN_PASSWORD: undefined } }
  expect((await box.run(['snapshots', '--insecure-no-password'], none)).code).toBe(0)
  const given = await box.run(['snapshots', '--insecure-no-password'])
  expect(given).toMatchObject({ code: 2 })
  expect(given.stderr).toContain('exclude each other')
})

describe('key export', () => {
  test('brings back a repository that has lost its keys and config', async () => {
    const box = await newRepository({ withPassword: true })
    await box.succeed(['backup', box.source])
    const { stdout } = await box.succeed(['key', 'export'])
    expect(stdout).not.toContain('correct horse')
    for (const folder of ['config', 'keys'])
      rmSync(join(box.repository, folder), { recursive: true })
    expect((await box.run(['snapshots'])).code).not.toBe(0)
    // As the sheet says: its commands, run by a shell in the folder of the repository.
    const commands = stdout.slice(stdout.indexOf('mkdir -p'))
    execFileSync('sh', ['-e'], { cwd: box.repository, input: commands })
    expect(await box.list()).toContain('a.txt')
    expect((await box.run(['snapshots'], { environment: { CAIRN_PASSWORD: 'x' } })).code).toBe(12)
  })

  test('as JSON has the same files', async () => {
    const box = await newRepository()
    const [sheet] = jsonLines((await box.succeed(['key', 'export', '--json'])).stdout)
    const files: Json[] = sheet.files
    expect(files.map(({ path }) => path)).toEqual(
      box.repositoryFiles().filter((path) => /^(?:config|keys)\//.test(path)),
    )
    const copy = newBox()
    for (const { path, base64 } of files) {
      mkdirSync(join(copy.repository, path, '..'), { recursive: true })
      writeFileSync(join(copy.repository, path), Buffer.from(base64, 'base64'))
    }
    expect((await copy.succeed(['key', 'list'])).stdout).toContain(sheet.key.slice(0, 8))
  })
})

test("'cairn key' alone says what there is", async () => {
  const { code, stderr } = await newBox().run(['key'])
  expect(code).toBe(2)
  expect(stderr).toContain("'cairn key' needs one of add, export, list, passwd, remove")
})
