/** `cairn cache` and `cairn unlock`, from the command line. */

import { chmodSync, existsSync, mkdirSync, readdirSync, utimesSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { isRoot, jsonLines, newBox, newRepository } from '../support/run-cairn.ts'

test('cache lists what there is and removes what is old', async () => {
  const box = await newRepository()
  const root = join(box.cache, 'cairn')
  const none = { CAIRN_REPOSITORY: undefined, CAIRN_KEY_FILE: undefined }
  const empty = await box.succeed(['cache'], { environment: none })
  expect(empty.stdout).toBe(`no cache dirs found, basedir is ${root}\n`)
  await box.succeed(['backup', box.source])
  const old = join(root, '0'.repeat(32))
  mkdirSync(old)
  utimesSync(old, 1, 1)

  const table = (await box.succeed(['cache'])).stdout.split('\n')
  expect(table[0]).toBe('Repo ID     Last Used       Old  Size')
  expect(table[2]).toMatch(/^0{10} {2}\d{5} days ago {2}yes {2}0 B$/)
  expect(table[3]).toMatch(/^[0-9a-f]{10} {2}0 days ago +[\d.]+ KiB$/)
  expect(table.at(-2)).toBe(`2 cache dirs in ${root}`)
  expect((await box.succeed(['cache', '--no-size'])).stdout).not.toContain('KiB')
  const [shown] = jsonLines((await box.succeed(['cache', '--json'])).stdout)
  expect(shown).toMatchObject({ directory: root, caches: [{ old: true, size: 0 }, { old: false }] })

  await box.succeed(['backup', '--cleanup-cache', box.source])
  expect(existsSync(old)).toBe(false)
  mkdirSync(old)
  utimesSync(old, 1, 1)
  const cleaned = await box.succeed(['cache', '--cleanup'])
  expect(cleaned.stdout).toBe('removed 1 old cache dirs\n')
  const left = readdirSync(root).filter((name) => name !== 'CACHEDIR.TAG')
  expect(left).toHaveLength(1)
  expect((await box.succeed(['cache', '--cleanup'])).stdout).toBe('no old cache dirs removed\n')
  await box.succeed(['cache', '--cleanup', '--max-age', '0'])
  expect(readdirSync(root)).toEqual(['CACHEDIR.TAG'])
  expect((await box.run(['cache', '--no-cache'])).code).toBe(2)
  // Nothing but time was lost.
  await box.succeed(['backup', box.source])
})

test.skipIf(!isRoot)('cache names what it cannot remove, and exits with 3', async () => {
  const box = newBox()
  const root = join(box.cache, 'cairn')
  mkdirSync(join(root, '0'.repeat(32)), { recursive: true })
  const args = ['cache', '--cleanup', '--max-age', '0']
  const unreadable = await box.run(args, { asOther: true })
  expect(unreadable.code).toBe(1)
  expect(unreadable.stderr).toMatch(/^Fatal: cannot read the caches in .*EACCES/)
  chmodSync(box.path, 0o755)
  const { code, stderr } = await box.run(args, { asOther: true })
  expect(stderr).toContain(`cannot remove the cache ${'0'.repeat(32)}: `)
  expect(code).toBe(3)
})

test('unlock removes nothing where nothing is dead', async () => {
  const box = await newRepository()
  expect((await box.succeed(['unlock'])).stdout).toBe('nothing to remove\n')
  const [summary] = jsonLines((await box.succeed(['unlock', '--remove-all', '--json'])).stdout)
  expect(summary).toEqual({ message_type: 'summary', removed: [], running: [], unconfirmed: [] })
})

test('unlock removes the session of a run that was killed', async () => {
  const box = await newRepository()
  const { child, finished } = box.start(['backup', '--stdin'], { holdsInput: true })
  while (box.repositoryFiles('sessions').length === 0) {
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  const running = await box.succeed(['unlock'])
  expect(running.stdout).toContain('left alone, it may be running: process')
  child.kill('SIGKILL')
  await finished
  const { stdout } = await box.succeed(['unlock'])
  expect(stdout).toMatch(
    /^removed the session of process \d+ on .*\nsuccessfully removed 1 session/,
  )
  expect(box.repositoryFiles('sessions')).toEqual([])
})
