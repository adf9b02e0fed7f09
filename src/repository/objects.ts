/** Sealing, signing and opening of objects (FORMAT.md 9). */

import { concat, equalBytes, toHex } from '../base/bytes.ts'
import { CairnError } from '../base/errors.ts'
import { loadZstd, type Zstd } from '../compression/zstd.ts'
import { positionNonce } from '../crypto/aead.ts'
import { loadBlake3 } from '../crypto/blake3.ts'
import { hedgedSalt, keyCommit, objectKey } from '../crypto/key-hierarchy.ts'
import { type Verifier, verifier } from '../crypto/sign.ts'
import type { Author } from '../format/config.ts'
import {
  COMPRESSION,
  LIMIT,
  NONCE_DOMAIN,
  OBJECT_KIND,
  type ObjectKind,
  PADDING,
  PREAMBLE_BYTES,
  TAG_BYTES,
} from '../format/constants.ts'
import { padme } from '../format/padme.ts'
import { decodePreamble, encodePreamble, PREAMBLE_BOUND_BYTES } from '../format/preamble.ts'
import { AeadSet, type Entropy } from '../pipeline/pack-seal.ts'
import { AUTHOR_ID_BYTES, type Keyring } from './keyring.ts'

const HEAD_BYTES = 16
const SIGNATURE_BYTES = 64
const SIGNED_TAIL_BYTES = AUTHOR_ID_BYTES + SIGNATURE_BYTES
const SIGN_PREFIX = Buffer.from('cairn object', 'latin1')
const NONCE = positionNonce(NONCE_DOMAIN.object, 0)
const OBJECT_LEVEL = 3

export interface OpenedObject {
  readonly body: Uint8Array
  readonly author: Author
  /** FORMAT.md 9: what a snapshot's id is. */
  readonly logicalId: Uint8Array
  /** The cipher that the object, and the sealed part of a snapshot, is under. */
  readonly aead: number
}

/** Only admins may have signed these. */
const ADMIN_KINDS: readonly ObjectKind[] = [OBJECT_KIND.tombstone, OBJECT_KIND.mark]

export class ObjectSeal {
  readonly #keyring: Keyring
  readonly #entropy: Entropy
  readonly #sessionId: Uint8Array
  readonly #padding: number
  readonly #aead: number
  readonly #aeads = new AeadSet()
  readonly #zstd = loadZstd()
  readonly #authors = new Map<string, { author: Author; verifier: Verifier }>()

  constructor(options: {
    readonly keyring: Keyring
    readonly entropy: Entropy
    readonly sessionId: Uint8Array
    readonly authors: readonly Author[]
    readonly padding: number
    readonly aead: number
  }) {
    this.#keyring = options.keyring
    this.#entropy = options.entropy
    this.#sessionId = options.sessionId
    this.#padding = options.padding
    this.#aead = options.aead
    for (const author of options.authors) {
      this.#authors.set(toHex(author.id), { author, verifier: verifier(author.publicKey) })
    }
  }

  logicalId(kind: ObjectKind, body: Uint8Array): Uint8Array {
    const blake3 = loadBlake3()
    return blake3.keyed(this.#keyring.ids.metadata)(concat(Uint8Array.of(16 + kind), body))
  }

  #message(kind: ObjectKind, body: Uint8Array): Uint8Array {
    return concat(SIGN_PREFIX, Uint8Array.of(kind), this.#keyring.repositoryId, body)
  }

  /** The bytes of the object that holds `body`, signed by this keyring's author. */
  seal(kind: ObjectKind, body: Uint8Array): Uint8Array {
    const { author, authorId } = this.#keyring
    const plain = concat(body, authorId, author.sign(this.#message(kind, body)))
    const zstd = this.#zstd
    const compressed = new Uint8Array(zstd.compressBound(plain.length))
    const compressedBytes = zstd.compressInto(compressed, 0, plain, OBJECT_LEVEL)
    const isSmaller = compressedBytes < plain.length
    const payload = isSmaller ? compressed.subarray(0, compressedBytes) : plain
    const { preamble, key } = this.#newPreamble(kind, body)
    const fixed = PREAMBLE_BYTES + TAG_BYTES
    const inner = HEAD_BYTES + payload.length
    const total = this.#padding === PADDING.none ? fixed + inner : padme(fixed + inner)
    const padded = Buffer.alloc(total - fixed)
    padded[0] = isSmaller ? COMPRESSION.zstd : COMPRESSION.none
    padded.writeUInt32LE(plain.length, 4)
    padded.writeUInt32LE(payload.length, 8)
    padded.set(payload, HEAD_BYTES)
    const sealed = this.#aeads.get(this.#aead).seal(key, NONCE, undefined, padded)
    return concat(preamble, sealed)
  }

  #newPreamble(kind: ObjectKind, body: Uint8Array) {
    const { current, repositoryId } = this.#keyring
    const blake3 = loadBlake3()
    const preamble = encodePreamble({
      kind,
      aead: this.#aead,
      epoch: current.epoch,
      repositoryId,
      ephemeralPublicKey: new Uint8Array(32),
      salt: hedgedSalt(
        {
          random: this.#entropy.random.bytes(32),
          hedge: current.hedge,
          wallNs: this.#entropy.clock.wallNs(),
          monotonicNs: BigInt(Math.round(this.#entropy.clock.monotonicMs() * 1e6)),
          pid: this.#entropy.pid,
          sessionId: this.#sessionId,
          content: blake3.hash(body),
        },
        blake3,
      ),
    })
    const bound = preamble.subarray(0, PREAMBLE_BOUND_BYTES)
    const key = objectKey(current.sharedObjects, bound)
    preamble.set(keyCommit(key, bound, blake3), PREAMBLE_BOUND_BYTES)
    return { preamble, key }
  }

  /** Opens an object that should be of `kind`. Throws CAIRN_CORRUPT with the reason. */
  open(kind: ObjectKind, bytes: Uint8Array): OpenedObject {
    const fail = (problem: string): never => {
      throw new CairnError('CAIRN_CORRUPT', `cannot open object: ${problem}`)
    }
    if (bytes.length > LIMIT.objectBytesMax) fail(`it has ${bytes.length} bytes`)
    const preamble = decodePreamble(bytes, kind)
    if (!equalBytes(preamble.repositoryId, this.#keyring.repositoryId)) {
      fail('it belongs to another repository')
    }
    const keys = this.#keyring.epochs.get(preamble.epoch)
    if (keys === undefined) return fail(`there is no key for epoch ${preamble.epoch}`)
    const bound = bytes.subarray(0, PREAMBLE_BOUND_BYTES)
    const key = objectKey(keys.sharedObjects, bound)
    const commit = bytes.subarray(PREAMBLE_BOUND_BYTES, PREAMBLE_BYTES)
    if (!equalBytes(keyCommit(key, bound, loadBlake3()), commit)) fail('its preamble is damaged')
    const sealed = bytes.subarray(PREAMBLE_BYTES)
    const padded = this.#aeads.get(preamble.aead).open(key, NONCE, undefined, sealed)
    if (padded === undefined) return fail('its contents are damaged')
    const verified = this.#verify(kind, decompress(padded, this.#zstd, fail), fail)
    return { ...verified, aead: preamble.aead }
  }

  #verify(
    kind: ObjectKind,
    plain: Uint8Array,
    fail: (problem: string) => never,
  ): Omit<OpenedObject, 'aead'> {
    if (plain.length < SIGNED_TAIL_BYTES) fail('it is not signed')
    const bodyEnd = plain.length - SIGNED_TAIL_BYTES
    const body = plain.subarray(0, bodyEnd)
    const authorId = toHex(plain.subarray(bodyEnd, bodyEnd + AUTHOR_ID_BYTES))
    const known = this.#authors.get(authorId)
    if (known === undefined) return fail(`author '${authorId}' is not in the config`)
    const signature = plain.subarray(bodyEnd + AUTHOR_ID_BYTES)
    if (!known.verifier.verify(this.#message(kind, body), signature)) {
      fail(`it is not signed by the author '${authorId}' that it names`)
    }
    if (ADMIN_KINDS.includes(kind) && known.author.role !== 'admin') {
      fail(`author '${authorId}' may not sign this kind of object`)
    }
    return { body, author: known.author, logicalId: this.logicalId(kind, body) }
  }
}

function decompress(padded: Uint8Array, zstd: Zstd, fail: (problem: string) => never): Uint8Array {
  const buffer = Buffer.from(padded.buffer, padded.byteOffset, padded.byteLength)
  if (buffer.length < HEAD_BYTES) fail('it is too short')
  const plainBytes = buffer.readUInt32LE(4)
  const storedBytes = buffer.readUInt32LE(8)
  if (plainBytes > LIMIT.objectBytesMax || storedBytes > buffer.length - HEAD_BYTES) {
    fail('its lengths are out of bounds')
  }
  const payload = buffer.subarray(HEAD_BYTES, HEAD_BYTES + storedBytes)
  if (buffer[0] === COMPRESSION.none) {
    if (plainBytes !== storedBytes) fail('its lengths disagree')
    return payload
  }
  if (buffer[0] !== COMPRESSION.zstd) fail(`unknown compression ${buffer[0]}`)
  const plain = new Uint8Array(plainBytes)
  if (!zstd.decompressInto(plain, 0, plainBytes, payload)) {
    fail('it does not decompress to its length')
  }
  return plain
}
