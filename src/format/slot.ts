/** Key slots (FORMAT.md 5): the line of JSON, and the CBOR inside its box. */

import { fromHex } from '../base/bytes.ts'
import { CairnError } from '../base/errors.ts'
import { ID_BYTES } from '../base/ids.ts'
import { CborReader, CborWriter } from './cbor.ts'
import { LIMIT, ROLE, type Role } from './constants.ts'
import { failOnCriticalKey } from './critical-key.ts'

export type SlotKdf =
  | {
      readonly n: 'scrypt'
      readonly N: number
      readonly r: number
      readonly p: number
      readonly salt: string
    }
  | {
      readonly n: 'argon2id'
      readonly m: number
      readonly t: number
      readonly p: number
      readonly salt: string
    }
  | { readonly n: 'raw'; readonly salt: string }

export interface SlotHead {
  readonly repositoryId: Uint8Array
  readonly role: Role
  readonly kdf: SlotKdf
  /** RFC 3339, UTC, whole seconds. */
  readonly created: string
}

export interface Slot extends SlotHead {
  /** The bytes that the commit and the box are bound to. */
  readonly headBytes: Uint8Array
  readonly salt: Uint8Array
  readonly box: Uint8Array
  readonly commit: Uint8Array
}

export function encodeSlotHead(head: SlotHead): string {
  const repo = Buffer.from(head.repositoryId).toString('hex')
  const fields = { v: 1, repo, role: head.role, kdf: head.kdf, created: head.created }
  return JSON.stringify(fields).slice(0, -1)
}

export function encodeSlot(head: string, box: Uint8Array, commit: Uint8Array): Uint8Array {
  const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64')
  return Buffer.from(`${head},"box":"${base64(box)}","commit":"${base64(commit)}"}\n`, 'utf8')
}

/** Base64 that decodes to exactly `byteCount` bytes (any length if undefined). */
export function decodeBase64(value: unknown, byteCount?: number): Uint8Array | undefined {
  if (typeof value !== 'string' || !/^[A-Za-z0-9+/]*={0,2}$/.test(value)) return undefined
  const bytes = new Uint8Array(Buffer.from(value, 'base64'))
  return byteCount === undefined || bytes.length === byteCount ? bytes : undefined
}

function isRole(value: unknown): value is Role {
  return typeof value === 'string' && Object.hasOwn(ROLE, value)
}

function decodeKdf(value: unknown): SlotKdf | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const { n, N, r, p, m, t, salt } = value as Record<string, unknown>
  if (typeof salt !== 'string') return undefined
  const whole = (x: unknown): x is number => Number.isSafeInteger(x) && (x as number) > 0
  if (n === 'scrypt' && whole(N) && whole(r) && whole(p)) return { n, N, r, p, salt }
  if (n === 'argon2id' && whole(m) && whole(t) && whole(p)) return { n, m, t, p, salt }
  if (n === 'raw') return { n, salt }
  return undefined
}

/** Decodes a slot file. Costly parameters are bounded by the key derivation, not here. */
export function decodeSlot(bytes: Uint8Array): Slot {
  const fail = (problem: string, cause?: unknown): never => {
    throw new CairnError('CAIRN_CORRUPT', `cannot decode key slot: ${problem}`, { cause })
  }
  if (bytes.length > LIMIT.slotBytesMax) fail(`it has ${bytes.length} bytes`)
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8')
  let fields: Record<string, unknown> = {}
  try {
    fields = JSON.parse(text) as Record<string, unknown>
  } catch (error) {
    fail('it is not JSON', error)
  }
  if (typeof fields !== 'object' || fields === null) fail('it is not a JSON object')
  const version = fields['v']
  if (typeof version === 'number' && version > 1) {
    throw new CairnError('CAIRN_FORMAT_TOO_NEW', 'a key slot was made by a newer version of cairn')
  }
  if (version !== 1) fail('a field is missing or has the wrong form')
  const kdf = decodeKdf(fields['kdf'])
  const salt = decodeBase64(kdf?.salt, 32)
  const box = decodeBase64(fields['box'])
  const commit = decodeBase64(fields['commit'], 32)
  const role = fields['role']
  const repo = fields['repo']
  const repositoryId = typeof repo === 'string' ? fromHex(repo) : undefined
  const created = fields['created']
  const headEnd = text.indexOf(',"box"')
  if (
    kdf === undefined ||
    salt === undefined ||
    box === undefined ||
    commit === undefined ||
    !isRole(role) ||
    repositoryId?.length !== 16 ||
    typeof created !== 'string' ||
    headEnd < 0
  ) {
    return fail('a field is missing or has the wrong form')
  }
  const headBytes = Buffer.from(text.slice(0, headEnd), 'utf8')
  return { repositoryId, role, kdf, created, headBytes, salt, box, commit }
}

/** What a slot protects. Maps go from key epoch to 32 bytes; a role lacks what it must not have. */
export interface SlotPayload {
  readonly role: Role
  readonly roots: ReadonlyMap<number, Uint8Array>
  readonly sealSecrets: ReadonlyMap<number, Uint8Array>
  readonly writerSecrets: ReadonlyMap<number, Uint8Array>
  readonly sealPublics: ReadonlyMap<number, Uint8Array>
  readonly adminPublics: ReadonlyMap<number, Uint8Array>
  readonly authorSeed: Uint8Array
  readonly label: string
}

const PAYLOAD_STEP_BYTES = 1024

export function encodeSlotPayload(payload: SlotPayload): Uint8Array {
  const out = new CborWriter(PAYLOAD_STEP_BYTES)
  const maps = [
    payload.roots,
    payload.sealSecrets,
    payload.writerSecrets,
    payload.sealPublics,
    payload.adminPublics,
  ]
  out.map(3 + maps.filter((map) => map.size > 0).length)
  out.integer(0)
  out.integer(ROLE[payload.role])
  for (const [i, map] of maps.entries()) {
    if (map.size === 0) continue
    out.integer(i + 1)
    out.map(map.size)
    for (const [epoch, key] of [...map].sort(([a], [b]) => a - b)) {
      out.integer(epoch)
      out.bytes(key)
    }
  }
  out.integer(6)
  out.bytes(payload.authorSeed)
  out.integer(7)
  out.text(payload.label)
  const padded = new Uint8Array(Math.ceil(out.length / PAYLOAD_STEP_BYTES) * PAYLOAD_STEP_BYTES)
  padded.set(out.view())
  return padded
}

export function decodeSlotPayload(bytes: Uint8Array): SlotPayload {
  const reader = new CborReader(bytes, 'key slot')
  const readKeys = () => {
    const keys = new Map<number, Uint8Array>()
    reader.map((epoch) => keys.set(epoch, new Uint8Array(reader.bytes(ID_BYTES, ID_BYTES))))
    return keys
  }
  let role: Role | undefined
  let authorSeed: Uint8Array | undefined
  let label = ''
  const maps = Array.from({ length: 6 }, () => new Map<number, Uint8Array>())
  reader.map((key) => {
    if (key === 0) {
      const number = reader.unsigned()
      role = (Object.keys(ROLE) as Role[]).find((name) => ROLE[name] === number)
    } else if (key >= 1 && key <= 5) maps[key] = readKeys()
    else if (key === 6) authorSeed = new Uint8Array(reader.bytes(ID_BYTES, ID_BYTES))
    else if (key === 7) label = reader.text()
    else if (key < 0) failOnCriticalKey(reader)
    else reader.skip()
  })
  if (role === undefined || authorSeed === undefined) return reader.fail('a field is missing')
  const none = new Map<number, Uint8Array>()
  return {
    role,
    roots: maps[1] ?? none,
    sealSecrets: maps[2] ?? none,
    writerSecrets: maps[3] ?? none,
    sealPublics: maps[4] ?? none,
    adminPublics: maps[5] ?? none,
    authorSeed,
    label,
  }
}
