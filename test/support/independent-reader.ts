/**
 * A reader written from FORMAT.md alone: no code of src, only public primitives. It restores a
 * snapshot from a map of files. If it and src disagree, one of the two, or the document, is wrong.
 */

import {
  createDecipheriv,
  createHash,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  verify,
} from 'node:crypto'
import { createRequire } from 'node:module'
import { blake3 } from '@noble/hashes/blake3.js'

type Files = ReadonlyMap<string, Uint8Array>

const join = (...parts: readonly Uint8Array[]) => Buffer.concat(parts)
const ascii = (text: string) => Buffer.from(text, 'latin1')

// Section 2.
const B3 = (x: Uint8Array) => Buffer.from(blake3(x))
const B3k = (key: Uint8Array, x: Uint8Array) => Buffer.from(blake3(x, { key }))
const D = (context: string, x: Uint8Array) =>
  Buffer.from(blake3(x, { context: ascii(`cairn 1 ${context}`) }))
const N = (domain: number, offset: number) => {
  const nonce = Buffer.alloc(12)
  nonce[0] = domain
  nonce.writeBigUInt64LE(BigInt(offset), 4)
  return nonce
}

function openAead(
  id: number,
  key: Uint8Array,
  nonce: Uint8Array,
  aad: Uint8Array,
  sealed: Uint8Array,
) {
  const decipher =
    id === 1
      ? createDecipheriv('chacha20-poly1305', key, nonce, { authTagLength: 16 })
      : createDecipheriv('aes-256-gcm', key, nonce)
  decipher.setAAD(aad, { plaintextLength: sealed.length - 16 })
  decipher.setAuthTag(sealed.subarray(sealed.length - 16))
  return Buffer.concat([decipher.update(sealed.subarray(0, -16)), decipher.final()])
}

const none = Buffer.alloc(0)

function x25519(secret: Uint8Array, publicKey: Uint8Array): Buffer {
  const der = (prefix: string, key: Uint8Array) => join(Buffer.from(prefix, 'hex'), key)
  return diffieHellman({
    privateKey: createPrivateKey({
      key: der('302e020100300506032b656e04220420', secret),
      format: 'der',
      type: 'pkcs8',
    }),
    publicKey: createPublicKey({
      key: der('302a300506032b656e032100', publicKey),
      format: 'der',
      type: 'spki',
    }),
  })
}

function x25519Public(secret: Uint8Array): Buffer {
  const nine = Buffer.alloc(32)
  nine[0] = 9
  return x25519(secret, nine)
}

function ed25519(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  const der = join(Buffer.from('302a300506032b6570032100', 'hex'), publicKey)
  const key = createPublicKey({ key: der, format: 'der', type: 'spki' })
  return verify(null, message, key, signature)
}

function unzstd(frame: Uint8Array, plainBytes: number): Buffer {
  const { DCtx } = createRequire(import.meta.url)('zstd-napi/binding.js') as {
    DCtx: new () => { decompress(out: Uint8Array, input: Uint8Array): number }
  }
  const out = Buffer.alloc(plainBytes)
  if (new DCtx().decompress(out, frame) !== plainBytes) throw new Error('wrong length')
  return out
}

type Cbor = number | bigint | Buffer | string | Cbor[] | Map<number | string, Cbor>

/** The part of RFC 8949 that the format uses. Returns the item and where it ends. */
function cbor(bytes: Buffer, at: number): [Cbor, number] {
  const head = bytes[at] ?? 0
  const type = head >> 5
  const info = head & 31
  const size = info < 24 ? 0 : 1 << (info - 24)
  const value =
    size === 0
      ? info
      : size === 8
        ? Number(bytes.readBigUInt64BE(at + 1))
        : bytes.readUIntBE(at + 1, size)
  let next = at + 1 + size
  if (type === 0) return [value, next]
  if (type === 1) return [-1 - value, next]
  if (type === 2) return [bytes.subarray(next, next + value), next + value]
  if (type === 3) return [bytes.subarray(next, next + value).toString('utf8'), next + value]
  const items: Cbor[] = []
  for (let i = 0; i < value * (type === 5 ? 2 : 1); i++) {
    const [item, end] = cbor(bytes, next)
    items.push(item)
    next = end
  }
  if (type === 4) return [items, next]
  const map = new Map<number | string, Cbor>()
  for (let i = 0; i < items.length; i += 2) {
    const key = items[i]
    map.set(Buffer.isBuffer(key) ? key.toString('hex') : (key as number), items[i + 1] as Cbor)
  }
  return [map, next]
}

const mapOf = (item: Cbor | undefined) => item as Map<number, Cbor>
const bytesOf = (item: Cbor | undefined) => item as Buffer

export interface RestoredEntry {
  readonly content: Buffer | undefined
  readonly mode: number
  readonly mtime: readonly [number, number]
}

interface Keys {
  readonly repo: Buffer
  readonly seal: Buffer
  readonly sealPublic: Buffer
  readonly psk: Buffer
  readonly obj: Buffer
  readonly kidData: Buffer
  readonly kidMeta: Buffer
}

/** Sections 5 and 6: from a raw key file to keys and authors. */
function unlock(files: Files, keyFile: Uint8Array): { keys: Keys; authors: Map<string, Buffer> } {
  const [, slotBytes] = [...files].find(([name]) => name.startsWith('keys/')) ?? ['', none]
  const line = Buffer.from(slotBytes).toString('utf8')
  const slot = JSON.parse(line) as { kdf: { salt: string }; box: string; commit: string }
  const material = join(keyFile, Buffer.from(slot.kdf.salt, 'base64'))
  const headHash = B3(ascii(line.slice(0, line.indexOf(',"box"'))))
  const box = Buffer.from(slot.box, 'base64')
  const commit = B3k(D('slot commit', material), join(ascii('cairn slot'), headHash, B3(box)))
  if (!commit.equals(Buffer.from(slot.commit, 'base64'))) throw new Error('wrong key')
  const [payload] = cbor(openAead(1, D('slot kek', material), Buffer.alloc(12), headHash, box), 0)
  const R = bytesOf(mapOf(mapOf(payload).get(1)).get(1))
  const W = D('writer secret', R)
  const seal = D('seal secret key', R)

  const [, configBytes] = [...files].find(([name]) => name.startsWith('config/')) ?? ['', none]
  const [first = '', sig = ''] = Buffer.from(configBytes).toString('utf8').split('\n')
  const config = JSON.parse(first) as {
    repo: string
    epochs: { seal: string; admin: string; check: string }[]
    salt: string
    box: string
  }
  const repo = Buffer.from(config.repo, 'hex')
  const epoch = config.epochs[0]
  if (epoch === undefined) throw new Error('no epoch')
  const signature = Buffer.from(sig.split(' ')[2] ?? '', 'hex')
  const message = join(ascii('cairn config'), Buffer.from(first))
  if (!ed25519(Buffer.from(epoch.admin, 'hex'), message, signature)) throw new Error('config')
  const check = B3k(D('check', W), join(ascii('cairn'), repo))
  if (check.toString('hex') !== epoch.check) throw new Error('another repository')
  const obj = D('shared objects', W)
  const boxKey = D('config box', join(obj, Buffer.from(config.salt, 'base64')))
  const boxBytes = Buffer.from(config.box, 'base64')
  const [settings] = cbor(openAead(1, boxKey, Buffer.alloc(12), none, boxBytes), 0)
  const authors = new Map(
    (mapOf(settings).get(0) as Cbor[][]).map((a) => [bytesOf(a[0]).toString('hex'), bytesOf(a[1])]),
  )
  const alike = mapOf(settings).get(9) as Cbor[] | undefined
  return {
    keys: {
      repo,
      seal,
      sealPublic: x25519Public(seal),
      psk: D('pack psk', W),
      obj,
      kidData: alike === undefined ? D('id data', W) : bytesOf(alike[0]),
      kidMeta: alike === undefined ? D('id meta', W) : bytesOf(alike[1]),
    },
    authors,
  }
}

/** Section 9. */
function openObject(bytes: Buffer, kind: number, keys: Keys, authors: Map<string, Buffer>): Buffer {
  if (bytes.toString('latin1', 0, 8) !== 'CAIRNOB1' || bytes[8] !== kind) throw new Error('kind')
  const bound = bytes.subarray(0, 96)
  const key = D('object', join(keys.obj, bound))
  if (!B3k(D('commit', key), bound).equals(bytes.subarray(96, 128))) throw new Error('commit')
  const padded = openAead(bytes[9] ?? 0, key, N(0, 0), none, bytes.subarray(128))
  const payload = padded.subarray(16, 16 + padded.readUInt32LE(8))
  const plain = padded[0] === 1 ? unzstd(payload, padded.readUInt32LE(4)) : payload
  const body = plain.subarray(0, -72)
  const author = authors.get(plain.subarray(-72, -64).toString('hex'))
  const message = join(ascii('cairn object'), Buffer.from([kind]), keys.repo, body)
  if (author === undefined || !ed25519(author, message, plain.subarray(-64))) {
    throw new Error('signature')
  }
  return body
}

/** Section 8: every blob of a pack, by id. */
function readPack(bytes: Buffer, keys: Keys, blobs: Map<string, Buffer>): void {
  const bound = bytes.subarray(0, 96)
  const shared = x25519(keys.seal, bytes.subarray(64, 96))
  const key = D('pack', join(keys.psk, shared, keys.sealPublic, bound))
  if (!B3k(D('commit', key), bound).equals(bytes.subarray(96, 128))) throw new Error('commit')
  const aead = bytes[9] ?? 0
  const trailer = openAead(aead, key, N(4, 0), none, bytes.subarray(-64))
  const F = Number(trailer.readBigUInt64LE(0))
  const L = trailer.readUInt32LE(8)
  const footer = openAead(aead, key, N(3, 0), none, bytes.subarray(F, F + L))
  const directory = footer.subarray(0, trailer.readUInt32LE(12))
  if (!B3(directory).equals(trailer.subarray(16, 48))) throw new Error('directory')
  const segments = directory.readUInt32LE(0)
  let row = 8 + 20 * segments
  for (let s = 0; s < segments; s++) {
    const at = 8 + 20 * s
    const offset = directory.readUInt32LE(at) * 64
    const [stored, plainBytes, count] = [4, 8, 12].map((field) =>
      directory.readUInt32LE(at + field),
    )
    const header = openAead(aead, key, N(1, offset), none, bytes.subarray(offset, offset + 64))
    const bodyEnd = offset + 64 + Math.ceil(((stored ?? 0) + 16) / 64) * 64
    const body = openAead(aead, key, N(2, offset), header, bytes.subarray(offset + 64, bodyEnd))
    const payload = body.subarray(0, stored)
    const plain = header[12] === 1 ? unzstd(payload, plainBytes ?? 0) : payload
    let start = 5 * (count ?? 0)
    for (let i = 0; i < (count ?? 0); i++, row += 32) {
      const type = plain[5 * i] ?? 0
      const blob = plain.subarray(start, start + plain.readUInt32LE(5 * i + 1))
      start += blob.length
      const isData = type === 1 || type === 5
      const id = isData
        ? B3k(keys.kidData, blob)
        : B3k(keys.kidMeta, join(Buffer.from([type]), blob))
      if (!id.equals(directory.subarray(row, row + 32))) throw new Error('blob id')
      blobs.set(id.toString('hex'), blob)
    }
  }
}

/** Section 22: every path of the only snapshot. */
export function restoreByDocument(files: Files, keyFile: Uint8Array): Map<string, RestoredEntry> {
  for (const [name, bytes] of files) {
    const hash = createHash('sha256').update(bytes).digest('hex')
    if (!name.endsWith(hash)) throw new Error(`${name} is not its SHA-256`)
  }
  const { keys, authors } = unlock(files, keyFile)
  const folder = (kind: string) =>
    [...files].filter(([name]) => name.startsWith(`${kind}/`)).map(([, b]) => Buffer.from(b))
  const [snapshot] = folder('snapshots')
  if (snapshot === undefined) throw new Error('no snapshot')
  const envelope = mapOf(cbor(openObject(snapshot, 2, keys, authors), 0)[0])
  const sealed = bytesOf(envelope.get(7))
  const shared = x25519(keys.seal, sealed.subarray(0, 32))
  const head = sealed.subarray(0, 64)
  const bodyKey = D('snapshot body', join(keys.psk, shared, keys.sealPublic, head, keys.repo))
  const content = mapOf(
    cbor(openAead(snapshot[9] ?? 0, bodyKey, N(0, 0), none, sealed.subarray(64)), 0)[0],
  )
  const indexed = folder('index').map((bytes) => openObject(bytes, 1, keys, authors))
  if (!indexed.every((body) => body[0] === 1)) throw new Error('index version')
  const blobs = new Map<string, Buffer>()
  for (const pack of folder('packs')) readPack(pack, keys, blobs)
  const found = new Map<string, RestoredEntry>()
  readTree(bytesOf(content.get(0)), '', blobs, found)
  return found
}

function readTree(
  id: Buffer,
  path: string,
  blobs: ReadonlyMap<string, Buffer>,
  found: Map<string, RestoredEntry>,
): void {
  const leaf = blobs.get(id.toString('hex')) ?? none
  for (let at = 1; at < leaf.length; ) {
    const [item, next] = cbor(leaf, at)
    at = next
    const entry = mapOf(item)
    const name = `${path}/${bytesOf(entry.get(0)).toString('utf8')}`
    const references = entry.get(11) === undefined ? none : bytesOf(entry.get(11))
    const parts: Buffer[] = []
    for (let r = 0; r < references.length; r += 36) {
      const blob = blobs.get(references.toString('hex', r, r + 32)) ?? none
      if (blob.length !== references.readUInt32LE(r + 32)) throw new Error('length')
      parts.push(blob)
    }
    found.set(name, {
      content: (entry.get(1) ?? 0) === 0 ? Buffer.concat(parts) : undefined,
      mode: Number(entry.get(2) ?? 0),
      mtime: [Number(entry.get(5) ?? 0), Number(entry.get(6) ?? 0)],
    })
    const subtree = entry.get(15)
    if (subtree !== undefined) readTree(bytesOf(subtree), name, blobs, found)
  }
}
