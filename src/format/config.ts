/** The signed config (FORMAT.md 6): a line of JSON, lines of signatures, and the CBOR in its box. */

import { fromHex, toHex } from '../base/bytes.ts'
import { CairnError } from '../base/errors.ts'
import { type FileName, fileNameOf, ID_BYTES, idBytes, isFileName } from '../base/ids.ts'
import { CborReader, CborWriter } from './cbor.ts'
import { FORMAT_VERSION, LIMIT, ROLE, type Role } from './constants.ts'
import { failOnCriticalKey } from './critical-key.ts'
import { decodeBase64 } from './slot.ts'

export interface ConfigEpoch {
  readonly epoch: number
  readonly sealPublic: Uint8Array
  readonly adminPublic: Uint8Array
  readonly check: Uint8Array
}

export interface Features {
  readonly read: readonly string[]
  readonly write: readonly string[]
  readonly prune: readonly string[]
}

export interface ConfigHead {
  readonly repositoryId: Uint8Array
  readonly revision: number
  /** RFC 3339, UTC, whole seconds. */
  readonly created: string
  readonly features: Features
  readonly epochs: readonly ConfigEpoch[]
  readonly idEpoch: number
  readonly slots: readonly FileName[]
  /** Slots that were removed, for good; none by default. */
  readonly removed?: readonly FileName[]
  readonly salt: Uint8Array
  readonly box: Uint8Array
}

export interface ConfigSignature {
  readonly epoch: number
  readonly signature: Uint8Array
}

export interface SignedLine {
  /** What the signatures cover, after the prefix "cairn config". */
  readonly line: Uint8Array
  readonly signatures: readonly ConfigSignature[]
}

export interface DecodedConfig extends ConfigHead, SignedLine {
  readonly removed: readonly FileName[]
}

export function encodeConfigLine(head: ConfigHead): Uint8Array {
  const fields = {
    format: FORMAT_VERSION,
    repo: toHex(head.repositoryId),
    rev: head.revision,
    created: head.created,
    features: head.features,
    epochs: head.epochs.map((epoch) => ({
      e: epoch.epoch,
      seal: toHex(epoch.sealPublic),
      admin: toHex(epoch.adminPublic),
      check: toHex(epoch.check),
    })),
    idEpoch: head.idEpoch,
    slots: head.slots,
    ...(head.removed?.length ? { removed: head.removed } : {}),
    salt: Buffer.from(head.salt).toString('base64'),
    box: Buffer.from(head.box).toString('base64'),
  }
  return Buffer.from(JSON.stringify(fields), 'utf8')
}

export function encodeConfig(line: Uint8Array, signatures: readonly ConfigSignature[]): Uint8Array {
  const lines = signatures.map((s) => `sig ${s.epoch} ${toHex(s.signature)}\n`)
  return Buffer.concat([line, Buffer.from(`\n${lines.join('')}`, 'latin1')])
}

function decodeHex(value: unknown, byteCount: number): Uint8Array | undefined {
  const bytes = typeof value === 'string' ? fromHex(value) : undefined
  return bytes?.length === byteCount ? bytes : undefined
}

function decodeEpoch(value: unknown): ConfigEpoch | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const { e, seal, admin, check } = value as Record<string, unknown>
  const sealPublic = decodeHex(seal, 32)
  const adminPublic = decodeHex(admin, 32)
  const checkBytes = decodeHex(check, 32)
  if (!Number.isSafeInteger(e) || !sealPublic || !adminPublic || !checkBytes) return undefined
  return { epoch: e as number, sealPublic, adminPublic, check: checkBytes }
}

function textList(value: unknown): string[] | undefined {
  return Array.isArray(value) && value.every((item) => typeof item === 'string') ? value : undefined
}

function decodeFeatures(value: unknown): Features | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const fields = value as Record<string, unknown>
  const read = textList(fields['read'])
  const write = textList(fields['write'])
  const prune = textList(fields['prune'])
  return read && write && prune ? { read, write, prune } : undefined
}

/** Undefined if a line has another form. */
export function decodeSignatures(lines: readonly string[]): ConfigSignature[] | undefined {
  const signatures: ConfigSignature[] = []
  for (const line of lines) {
    const match = /^sig ([1-9][0-9]{0,8}) ([0-9a-f]{128})$/.exec(line)
    const signature = match?.[2] === undefined ? undefined : fromHex(match[2])
    if (signature === undefined) return undefined
    signatures.push({ epoch: Number(match?.[1]), signature })
  }
  return signatures
}

/** Decodes a config file; its signatures are not verified here. */
export function decodeConfig(bytes: Uint8Array): DecodedConfig {
  const fail = (problem: string, cause?: unknown): never => {
    throw new CairnError('CAIRN_CORRUPT', `cannot decode config: ${problem}`, { cause })
  }
  if (bytes.length > LIMIT.configBytesMax) fail(`it has ${bytes.length} bytes`)
  const [line = '', ...rest] = Buffer.from(bytes).toString('utf8').split('\n')
  if (rest.pop() !== '') fail('it does not end in a line feed')
  let fields: Record<string, unknown> = {}
  try {
    fields = JSON.parse(line) as Record<string, unknown>
  } catch (error) {
    fail('it is not JSON', error)
  }
  if (typeof fields !== 'object' || fields === null) fail('it is not a JSON object')
  const format = fields['format']
  if (typeof format === 'number' && format > FORMAT_VERSION) {
    throw new CairnError(
      'CAIRN_FORMAT_TOO_NEW',
      `cannot open repository: its format ${format} is newer than this program's ${FORMAT_VERSION}; update cairn`,
    )
  }
  const repositoryId = decodeHex(fields['repo'], 16)
  const features = decodeFeatures(fields['features'])
  const epochs = Array.isArray(fields['epochs']) ? fields['epochs'].map(decodeEpoch) : []
  const slots = textList(fields['slots'])
  const removed = textList(fields['removed'] ?? [])
  const salt = decodeBase64(fields['salt'], 32)
  const box = decodeBase64(fields['box'])
  const signatures = decodeSignatures(rest)
  const { rev, created, idEpoch } = fields
  if (
    format !== FORMAT_VERSION ||
    repositoryId === undefined ||
    features === undefined ||
    epochs.length === 0 ||
    !epochs.every((epoch) => epoch !== undefined) ||
    !slots?.every(isFileName) ||
    !removed?.every(isFileName) ||
    salt === undefined ||
    box === undefined ||
    signatures === undefined ||
    !Number.isSafeInteger(rev) ||
    !Number.isSafeInteger(idEpoch) ||
    typeof created !== 'string'
  ) {
    return fail('a field is missing or has the wrong form')
  }
  return {
    repositoryId,
    revision: rev as number,
    created,
    features,
    epochs,
    idEpoch: idEpoch as number,
    slots,
    removed,
    salt,
    box,
    line: Buffer.from(line, 'utf8'),
    signatures,
  }
}

export interface Author {
  readonly id: Uint8Array
  readonly publicKey: Uint8Array
  readonly role: Role
  readonly label: string
  /** Seconds since 1970. */
  readonly since: number
}

/** Who a key slot was made for. */
export interface SlotOwner {
  readonly slot: FileName
  /** The id of the author that signs with it. */
  readonly author: Uint8Array
}

export interface ChunkerSettings {
  readonly algorithm: number
  readonly minBytes: number
  readonly averageBytes: number
  readonly maxBytes: number
}

/** 32 bytes each, as FORMAT.md 4 has them. */
export interface SharedIdKeys {
  readonly data: Uint8Array
  readonly metadata: Uint8Array
  readonly chunker: Uint8Array
  readonly split: Uint8Array
}

/** What the box of a config holds. */
export interface ConfigBox {
  readonly authors: readonly Author[]
  readonly chunker: ChunkerSettings
  readonly dataPackBytes: number
  readonly metadataPackBytes: number
  readonly padding: number
  readonly graceSeconds: number
  readonly dedupTrust: number
  readonly aead: number
  /** None by default. */
  readonly owners?: readonly SlotOwner[]
  /** Taken from another repository; by default they follow from this one's keys. */
  readonly idKeys?: SharedIdKeys
}

export interface DecodedConfigBox extends ConfigBox {
  readonly owners: readonly SlotOwner[]
}

export function encodeConfigBox(box: ConfigBox): Uint8Array {
  const out = new CborWriter(512)
  const owners = box.owners ?? []
  out.map(8 + Number(owners.length > 0) + Number(box.idKeys !== undefined))
  out.integer(0)
  out.array(box.authors.length)
  for (const author of box.authors) {
    out.array(5)
    out.bytes(author.id)
    out.bytes(author.publicKey)
    out.integer(ROLE[author.role])
    out.text(author.label)
    out.integer(author.since)
  }
  out.integer(1)
  out.array(4)
  out.integer(box.chunker.algorithm)
  out.integer(box.chunker.minBytes)
  out.integer(box.chunker.averageBytes)
  out.integer(box.chunker.maxBytes)
  const numbers = [
    box.dataPackBytes,
    box.metadataPackBytes,
    box.padding,
    box.graceSeconds,
    box.dedupTrust,
    box.aead,
  ]
  for (const [i, value] of numbers.entries()) {
    out.integer(i + 2)
    out.integer(value)
  }
  if (owners.length > 0) {
    out.integer(8)
    out.array(owners.length)
    for (const { slot, author } of owners) {
      out.array(2)
      out.bytes(idBytes(slot))
      out.bytes(author)
    }
  }
  if (box.idKeys !== undefined) {
    const { data, metadata, chunker, split } = box.idKeys
    out.integer(9)
    out.array(4)
    for (const key of [data, metadata, chunker, split]) out.bytes(key)
  }
  return out.finish()
}

export function decodeConfigBox(bytes: Uint8Array): DecodedConfigBox {
  const reader = new CborReader(bytes, 'config')
  let authors: Author[] = []
  let owners: SlotOwner[] = []
  let chunker: ChunkerSettings | undefined
  let idKeys: SharedIdKeys | undefined
  const numbers = new Map<number, number>()
  reader.map((key) => {
    if (key === 0) authors = Array.from({ length: reader.array() }, () => readAuthor(reader))
    else if (key === 1) {
      reader.array(4)
      chunker = {
        algorithm: reader.unsigned(),
        minBytes: reader.unsigned(),
        averageBytes: reader.unsigned(),
        maxBytes: reader.unsigned(),
      }
    } else if (key >= 2 && key <= 7) numbers.set(key, reader.unsigned())
    else if (key === 8) owners = Array.from({ length: reader.array() }, () => readOwner(reader))
    else if (key === 9) idKeys = readIdKeys(reader)
    else if (key < 0) failOnCriticalKey(reader)
    else reader.skip()
  })
  reader.end()
  if (chunker === undefined || numbers.size !== 6) return reader.fail('a field is missing')
  const number = (key: number) => numbers.get(key) ?? 0
  return {
    authors,
    chunker,
    dataPackBytes: number(2),
    metadataPackBytes: number(3),
    padding: number(4),
    graceSeconds: number(5),
    dedupTrust: number(6),
    aead: number(7),
    owners,
    ...(idKeys === undefined ? {} : { idKeys }),
  }
}

function readIdKeys(reader: CborReader): SharedIdKeys {
  reader.array(4)
  const key = () => new Uint8Array(reader.bytes(ID_BYTES, ID_BYTES))
  return { data: key(), metadata: key(), chunker: key(), split: key() }
}

function readOwner(reader: CborReader): SlotOwner {
  reader.array(2)
  const slot = fileNameOf(new Uint8Array(reader.bytes(ID_BYTES, ID_BYTES)))
  return { slot, author: new Uint8Array(reader.bytes(8, 8)) }
}

function readAuthor(reader: CborReader): Author {
  reader.array(5)
  const id = new Uint8Array(reader.bytes(8, 8))
  const publicKey = new Uint8Array(reader.bytes(ID_BYTES, ID_BYTES))
  const roleNumber = reader.unsigned()
  const role = (Object.keys(ROLE) as Role[]).find((name) => ROLE[name] === roleNumber)
  if (role === undefined) return reader.fail(`unknown role ${roleNumber}`)
  return { id, publicKey, role, label: reader.text(), since: reader.unsigned() }
}
