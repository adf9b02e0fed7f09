/** P4: what the storage holds tells neither names nor contents, nor anything to test a guess with. */

import { createHash, randomBytes } from 'node:crypto'
import { readFileSync, symlinkSync } from 'node:fs'
import { hostname, userInfo } from 'node:os'
import { join } from 'node:path'
import { blake3 } from '@noble/hashes/blake3.js'
import { expect, test } from 'vitest'
import { type Box, type Json, newRepository } from '../support/run-cairn.ts'

/** Everything in the repository, names of files included. */
function everything(box: Box): Buffer {
  const parts = box
    .repositoryFiles()
    .flatMap((path) => [Buffer.from(`${path}\n`), readFileSync(join(box.repository, path))])
  return Buffer.concat(parts)
}

/** The base64 of `bytes` wherever it begins in a longer run: the letters that do not depend on it. */
function base64Forms(bytes: Buffer): string[] {
  return [0, 1, 2].map((shift) => {
    const encoded = Buffer.concat([Buffer.alloc(shift), bytes]).toString('base64')
    return encoded.slice(
      Math.ceil((shift * 4) / 3) + 1,
      Math.floor(((shift + bytes.length) * 4) / 3) - 1,
    )
  })
}

function formsOf(secret: Buffer): Buffer[] {
  const text = secret.toString('latin1')
  return [
    secret,
    Buffer.from(text, 'utf16le'),
    Buffer.from(secret.toString('hex')),
    Buffer.from(secret.toString('hex').toUpperCase()),
    Buffer.from(secret).reverse(),
    ...base64Forms(secret).map((form) => Buffer.from(form)),
  ]
}

/** Which of the secrets `haystack` holds, in any form. */
function leaks(haystack: Buffer, secrets: ReadonlyMap<string, Buffer>): string[] {
  const found: string[] = []
  for (const [what, secret] of secrets) {
    for (const [at, form] of formsOf(secret).entries()) {
      if (haystack.includes(form)) found.push(`${what}, form ${at}`)
    }
  }
  return found
}

const MARK = 'Xylophonquartett'

test('P4: names, contents, ids, hashes, tags, hosts and passwords are nowhere in the repository', async () => {
  const box = await newRepository({ withPassword: true })
  const secrets = new Map<string, Buffer>()
  const plant = (what: string, text: string | Buffer) => {
    secrets.set(what, Buffer.isBuffer(text) ? text : Buffer.from(text))
    return text
  }
  const contents: Record<string, Buffer> = {
    small: Buffer.from(plant('small content', `the ${MARK} plays at noon`)),
    text: Buffer.from(`${plant('repeated line', `line of the ${MARK} score`)}\n`.repeat(20_000)),
    noise: randomBytes(400_000),
  }
  plant('noise', Buffer.from(contents['noise']?.subarray(1000, 1032) ?? []))
  for (const [name, bytes] of Object.entries(contents)) {
    box.write(
      plant(`name of ${name}`, `${MARK}-dir-${name}/${MARK}-file-${name}`).toString(),
      bytes,
    )
    plant(`file name of ${name}`, `${MARK}-file-${name}`)
    for (const algorithm of ['sha256', 'sha1', 'md5', 'sha512']) {
      plant(`${algorithm} of ${name}`, createHash(algorithm).update(bytes).digest())
    }
    plant(`blake3 of ${name}`, Buffer.from(blake3(bytes)))
  }
  symlinkSync(plant('link target', `/nowhere/${MARK}-target`).toString(), join(box.source, 'link'))
  const options = [
    '--tag',
    `${plant('tag', `${MARK}-tag`)}`,
    '--host',
    `${plant('host', `${MARK}-host`)}`,
  ]
  options.push('--exclude', `${plant('pattern', `*.${MARK}-pattern`)}`)
  plant('password', 'correct horse')
  plant('source', box.source)
  plant('mark', MARK)
  if (hostname().length >= 6) plant('hostname', hostname())
  if (userInfo().username.length >= 6) plant('username', userInfo().username)
  await box.succeed(['backup', ...options, box.source])
  await box.succeed(['backup', ...options, box.source])
  for (const id of await blobIds(box)) plant(`blob ${id.slice(0, 8)}`, Buffer.from(id, 'hex'))
  const [snapshot] = await box.snapshots()
  plant('snapshot id', Buffer.from(snapshot.id, 'hex'))
  plant('root id', Buffer.from(snapshot.tree, 'hex'))
  expect(secrets.size).toBeGreaterThan(30)
  const found = everything(box)
  expect(found.length).toBeGreaterThan(400_000)
  expect(leaks(found, secrets)).toEqual([])
})

/** The ids of all blobs, as the index files that only the key opens have them. */
async function blobIds(box: Box): Promise<string[]> {
  const ids: string[] = []
  for (const path of box.repositoryFiles('index')) {
    const { stdout } = await box.succeed(['cat', '--json', 'index', path.slice(-64)])
    for (const pack of (JSON.parse(stdout) as Json).packs) {
      for (const blob of pack.blobs) ids.push(blob.id)
    }
  }
  expect(ids.length).toBeGreaterThan(5)
  return ids
}

test('the search finds what is there, in every form', () => {
  const secret = Buffer.from('needle in a haystack')
  for (const [at, form] of formsOf(secret).entries()) {
    const haystack = Buffer.concat([randomBytes(100), form, randomBytes(100)])
    expect(leaks(haystack, new Map([['it', secret]]))).toContain(`it, form ${at}`)
  }
  for (const shift of [0, 1, 2]) {
    const encoded = Buffer.concat([randomBytes(30 + shift), secret, randomBytes(30)]).toString(
      'base64',
    )
    expect(leaks(Buffer.from(encoded), new Map([['it', secret]]))).toHaveLength(1)
  }
})

test('P4: two repositories with the same password and files have nothing in common', async () => {
  const pieces = async () => {
    const box = await newRepository({ withPassword: true })
    box.write('same', Buffer.alloc(300_000, 'the same in both '))
    await box.succeed(['backup', '--host', 'h', '--time', '2025-01-01', 'source'])
    const names = box
      .repositoryFiles()
      .map((path) => path.slice(-64))
      .filter((name) => /^[0-9a-f]{64}$/.test(name))
    const sealed = box
      .repositoryFiles('packs')
      .map((path) => readFileSync(join(box.repository, path)))
    return { names, sealed: Buffer.concat(sealed) }
  }
  const one = await pieces()
  const two = await pieces()
  expect(one.names.filter((name) => two.names.includes(name))).toEqual([])
  for (let at = 0; at + 16 <= one.sealed.length; at += 16) {
    const piece = one.sealed.subarray(at, at + 16)
    // The magic and the version are the format's and no secret.
    if (piece.toString('latin1').startsWith('CAIRNPK')) continue
    if (piece.some((byte) => byte !== 0) && two.sealed.includes(piece)) {
      expect.fail(`16 bytes at ${at} are in both: ${piece.toString('hex')}`)
    }
  }
})
