/** `cairn cat`: every kind of object, by a beginning of its id, and never a key. */

import { createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { type Box, type Json, newRepository } from '../support/run-cairn.ts'

async function cat(box: Box, ...args: string[]): Promise<Json> {
  return JSON.parse((await box.succeed(['cat', '--json', ...args])).stdout)
}

function nameIn(box: Box, folder: string): string {
  return box.repositoryFiles(folder)[0]?.slice(-64) ?? ''
}

test('config, key and snapshot are JSON without any key', async () => {
  const box = await newRepository({ withPassword: true })
  await box.succeed(['backup', '--tag', 't', 'source'])
  const config = await cat(box, 'config')
  expect(config).toMatchObject({
    version: 1,
    revision: 1,
    chunker: { average_bytes: 131_072 },
    cipher: 'chacha20-poly1305',
    keys: [nameIn(box, 'keys')],
  })
  const key = await cat(box, 'key', nameIn(box, 'keys').slice(0, 6))
  expect(key).toEqual({
    id: nameIn(box, 'keys'),
    current: true,
    listed: true,
    role: 'admin',
    created: expect.any(String),
    kdf: 'scrypt',
    N: 131_072,
    r: 8,
    p: 1,
  })
  expect(await cat(box, 'snapshot', 'latest')).toMatchObject({ tags: ['t'], paths: [box.source] })
  // What the files hold of keys, sealed or public, in hex or base64, is in neither.
  const slot = JSON.parse(readFileSync(join(box.repository, 'keys', nameIn(box, 'keys')), 'utf8'))
  const line = readFileSync(join(box.repository, 'config', nameIn(box, 'config')), 'utf8')
  const { box: sealed, epochs } = JSON.parse(line.split('\n')[0] ?? '')
  const shown = JSON.stringify([config, key])
  for (const secret of [
    slot.box,
    slot.commit,
    slot.kdf.salt,
    sealed,
    ...Object.values(epochs[0]),
  ]) {
    if (typeof secret === 'string') expect(shown).not.toContain(secret)
  }
})

test('without --json it is indented', async () => {
  const box = await newRepository()
  const { stdout } = await box.succeed(['cat', 'config'])
  expect(stdout).toMatch(/^\{\n {2}"version": 1,\n/)
  expect(stdout).toBe(`${JSON.stringify(JSON.parse(stdout), null, 2)}\n`)
})

test('tree, blob, index and pack lead from a snapshot to the bytes', async () => {
  const box = await newRepository()
  const content = Buffer.from(Array.from({ length: 9000 }, (_, at) => (at * at) % 251))
  box.write('dir/binary', content)
  await box.succeed(['backup', 'source'])
  const { nodes } = await cat(box, 'tree', 'latest:source/dir')
  expect(nodes).toMatchObject([{ name: 'binary', type: 'file', size: 9000 }])
  const [{ id, length }] = nodes[0].content
  expect(length).toBe(9000)
  const index = await cat(box, 'index', nameIn(box, 'index').slice(0, 8))
  const pack = index.packs.find((one: Json) => one.blobs.some((blob: Json) => blob.id === id))
  expect(pack.blobs.find((blob: Json) => blob.id === id)).toMatchObject({
    type: 'data',
    length: 9000,
  })
  for (const name of [id, id.slice(0, 12)]) {
    const { finished, child } = box.start(['cat', 'blob', name])
    const hash = createHash('sha256')
    child.stdout?.setEncoding('latin1').on('data', (text: string) => hash.update(text, 'latin1'))
    expect((await finished).code).toBe(0)
    expect(hash.digest('hex')).toBe(createHash('sha256').update(content).digest('hex'))
  }
  const { finished, child } = box.start(['cat', 'pack', pack.id.slice(0, 10)])
  const hash = createHash('sha256')
  child.stdout?.setEncoding('latin1').on('data', (text: string) => hash.update(text, 'latin1'))
  expect((await finished).code).toBe(0)
  expect(hash.digest('hex')).toBe(pack.id)
})

test('1: ids that are not there or not unique; 20: what is damaged', async () => {
  const box = await newRepository()
  await box.succeed(['backup', 'source'])
  for (const kind of ['pack', 'blob', 'index', 'key', 'lock']) {
    const missing = await box.run(['cat', kind, 'abcdef0123456789'])
    expect({ kind, ...missing }).toMatchObject({ kind, code: 1, stdout: '' })
    expect((await box.run(['cat', kind, 'not-hex'])).code).toBe(2)
    expect((await box.run(['cat', kind])).code).toBe(2)
  }
  const packs = box.repositoryFiles('packs')
  const [path = ''] = packs
  writeFileSync(join(box.repository, path), Buffer.alloc(4096))
  const damaged = await box.run(['cat', 'pack', path.slice(-64)])
  expect(damaged.code).toBe(20)
  expect(damaged.stderr).toContain('its bytes do not have its name')
})

test('lock is a session: who runs a backup', async () => {
  const box = await newRepository()
  const running = box.start(['backup', '--stdin-from-command', '--', 'sleep', '5'])
  let session = ''
  while (session === '') {
    await new Promise((resolve) => setTimeout(resolve, 50))
    session = box.repositoryFiles('sessions').find((path) => /[0-9a-f]{64}$/.test(path)) ?? ''
  }
  const lock = await cat(box, 'lock', session.slice(-64))
  expect(lock).toMatchObject({
    exclusive: false,
    pid: running.child.pid,
    role: 'writer',
    alive: true,
  })
  expect((await running.finished).code).toBe(0)
})
