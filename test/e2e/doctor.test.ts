/** `cairn doctor` and `cairn benchmark`, which need no repository. */

import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { type Json, jsonLines, newBox } from '../support/run-cairn.ts'

test('doctor finds what the tests run on sound, and leaves nothing behind', async () => {
  const box = newBox()
  const [{ checks }] = jsonLines((await box.succeed(['doctor', '--json', 'source'])).stdout) as [
    Json,
  ]
  const found = new Map<string, Json>((checks as Json[]).map((check) => [check.name, check]))
  expect(found.get('node')).toMatchObject({ verdict: 'ok', found: process.versions.node })
  for (const part of ['zstd', 'blake3', 'chunker', 'chacha20-poly1305', 'aes-256-gcm']) {
    expect(found.get(part)).toMatchObject({ verdict: 'ok' })
  }
  expect(found.get('directory')).toMatchObject({ found: box.source })
  expect(found.get('cache')).toMatchObject({ found: join(box.cache, 'cairn') })
  expect([...found.keys()]).toEqual(
    expect.arrayContaining(['fuse', 'cores', 'memory', 'clock', 'free space', 'unnamed files']),
  )
  expect(readdirSync(box.source)).toEqual([])
  expect(readdirSync(box.cache)).toEqual([])
  expect((await box.succeed(['doctor'])).stdout).toMatch(/^ok +zstd +\w+$/m)
})

test('doctor exits with 1 where nothing can be written', async () => {
  const box = newBox()
  const { code, stdout, stderr } = await box.run(['doctor', '-q', join(box.path, 'missing')])
  expect(code).toBe(1)
  expect(stdout).toMatch(/^problem +directory .*nothing can be written there: ENOENT/m)
  expect(stderr).toBe('Fatal: cairn cannot work here: see directory\n')
})

test('benchmark measures every stage, and leaves nothing behind', async () => {
  const box = newBox()
  const args = ['benchmark', '--stage-time', '1ms', '--json', 'source']
  const stages = jsonLines((await box.succeed(args)).stdout)
  expect(stages.map(({ stage }) => stage)).toEqual([
    'read',
    'chunk',
    'hash',
    'compress',
    'seal chacha20-poly1305',
    'seal aes-256-gcm',
    'write',
  ])
  for (const { bytes_per_second } of stages) expect(bytes_per_second).toBeGreaterThan(0)
  expect(readdirSync(box.source)).toEqual([])
  const { code, stderr } = await box.run(['benchmark', join(box.path, 'missing')])
  expect(code).toBe(1)
  expect(stderr).toMatch(/^Fatal: cannot measure in '.*ENOENT/)
})
