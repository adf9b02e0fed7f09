import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { jsonLines, newRepository, type RunOptions } from '../support/run-cairn.ts'

/** A repository with two snapshots, and an empty place with a password of its own. */
async function withPlace() {
  const box = await newRepository()
  box.write('deep/b.txt', 'beta')
  box.write('big', Buffer.alloc(700_000, 'some contents that repeat'))
  await box.succeed(['backup', '-q', '--tag', 'first', box.source])
  box.write('c.txt', 'gamma')
  await box.succeed(['backup', '-q', '--host', 'elsewhere', box.source])
  const other = join(box.path, 'other')
  const to: RunOptions = {
    environment: {
      CAIRN_REPOSITORY: other,
      CAIRN_KEY_FILE: undefined,
      CAIRN_PASSWORD: 'battery staple',
      CAIRN_FROM_REPOSITORY: box.repository,
      CAIRN_FROM_KEY_FILE: join(box.path, 'key'),
    },
  }
  return { box, other, to }
}

test('copies what a filter lets through, then the rest, then nothing', async () => {
  const { box, to } = await withPlace()
  await box.succeed(['init', '-q'], to)
  const first = await box.succeed(['copy', '--tag', 'first'], to)
  expect(first.stdout).toMatch(/snapshot [0-9a-f]{8} saved, a copy of [0-9a-f]{8}/)
  expect(first.stdout).toContain('copied 1 snapshots, skipped 0')
  const all = jsonLines((await box.succeed(['copy', '--json'], to)).stdout)
  expect(all.map((line) => line.message_type)).toEqual(['skipped', 'copied', 'summary'])
  expect(all.at(-1)).toMatchObject({ copied_snapshots: 1, skipped_snapshots: 1 })
  const again = await box.succeed(['copy'], to)
  expect(again.stdout).toContain('copied 0 snapshots, skipped 2')

  const [old, late] = await box.snapshots()
  const copies = JSON.parse((await box.succeed(['snapshots', '--json'], to)).stdout)
  expect(copies).toMatchObject([
    { original: old.id, time: old.time, tags: ['first'], paths: old.paths },
    { original: late.id, hostname: 'elsewhere', time: late.time },
  ])
  const target = join(box.path, 'target')
  await box.succeed(['restore', copies[1].id, '-t', target], to)
  const restored = readdirSync(target, { recursive: true, encoding: 'utf8' })
  for (const name of ['a.txt', 'c.txt', 'deep/b.txt', 'big']) {
    const path = restored.find((one) => one.endsWith(`source/${name}`)) ?? ''
    expect(readFileSync(join(target, path))).toEqual(readFileSync(join(box.source, name)))
  }
  await box.succeed(['check', '--read-data'], to)
})

test('says of which of the two repositories the password is wrong', async () => {
  const { box, other, to } = await withPlace()
  await box.succeed(['init', '-q'], to)
  const opens = async (environment: Record<string, string | undefined>) => {
    const given = { ...to.environment, ...environment }
    const { code, stderr } = await box.run(['copy'], { environment: given })
    expect(code).toBe(12)
    return stderr
  }
  expect(await opens({ CAIRN_PASSWORD: 'wrong' })).toContain(`for '${other}'`)
  const from = { CAIRN_FROM_KEY_FILE: undefined, CAIRN_FROM_PASSWORD: 'wrong' }
  expect(await opens(from)).toContain(`for '${box.repository}'`)
})

test('init --copy-chunker-params: a backup there stores nothing that was copied', async () => {
  const { box, other, to } = await withPlace()
  const refused = await box.run(['init', '--from-repo', box.repository], to)
  expect(refused.code).toBe(2)
  expect(refused.stderr).toContain('--copy-chunker-params')
  await box.succeed(['init', '-q', '--copy-chunker-params'], to)
  await box.succeed(['copy', '-q'], to)
  const lines = jsonLines((await box.succeed(['backup', '--json', box.source], to)).stdout)
  expect(lines.at(-1)).toMatchObject({ data_blobs: 0 })
  // Neither secret opens the other.
  const swapped = await box.run(['snapshots', '-r', other])
  expect(swapped.code).toBe(12)
  await box.succeed(['check', '--read-data'], to)
})

test('says what is wrong with the other repository, and asks for nothing without a terminal', async () => {
  const { box, other, to } = await withPlace()
  await box.succeed(['init', '-q'], to)
  const environment = { ...to.environment, CAIRN_FROM_REPOSITORY: undefined }
  const none = await box.run(['copy'], { environment })
  expect(none).toMatchObject({ code: 2 })
  expect(none.stderr).toContain('--from-repo')
  const missing = await box.run(['copy', '--from-repo', join(box.path, 'nowhere')], to)
  expect(missing.code).toBe(10)
  const noSecret = { ...to.environment, CAIRN_FROM_KEY_FILE: undefined }
  const secretless = await box.run(['copy'], { environment: noSecret })
  expect(secretless.code).toBe(2)
  expect(secretless.stderr).toContain('--from-password-file')
  const wrong = join(box.path, 'wrong')
  writeFileSync(wrong, 'wrong\n', { mode: 0o600 })
  const bad = await box.run(['copy', '--from-password-file', wrong], { environment: noSecret })
  expect(bad.code).toBe(12)
  const self = await box.run(
    ['copy', '--from-repo', other, '--from-password-command', 'echo battery staple'],
    { environment: noSecret },
  )
  expect(self.code).toBe(2)
  expect(self.stderr).toContain('same repository')
})

test('what is damaged is named, the rest is copied, and the exit code is 20', async () => {
  const { box, to } = await withPlace()
  await box.succeed(['init', '-q'], to)
  const before = new Set(box.repositoryFiles('packs'))
  box.write('only-here', 'a file of the last snapshot')
  await box.succeed(['backup', '-q', '--host', 'damaged', box.source])
  for (const path of box.repositoryFiles('packs')) {
    if (!before.has(path)) rmSync(join(box.repository, path))
  }
  const { code, stdout, stderr } = await box.run(['copy'], to)
  expect(code).toBe(20)
  expect(stdout).toContain('copied 2 snapshots')
  expect(stderr).toMatch(/snapshot [0-9a-f]{8} is not copied/)
  await box.succeed(['check', '--read-data'], to)
})
