/** The head of the LevelDB index: whose it is, which state it is in, and what it must contain. */

import { concat, equalBytes } from '../../base/bytes.ts'
import { assert } from '../../base/errors.ts'
import type { Randomness } from '../../base/seams.ts'
import { forEachKey, getOrThrow, type LevelDatabase } from './level-database.ts'
import { CRC_BYTES, DATABASE_ID_BYTES, IndexDamagedError, isSealed, sealed } from './level-rows.ts'

export const META_KEY = Buffer.from('m')
const ALL = { gte: Buffer.from([0]), lt: Buffer.from([0xff]) } as const
const SCHEMA_VERSION = 1
const REPOSITORY_ID_BYTES = 16
const META_BYTES = 4 + REPOSITORY_ID_BYTES + DATABASE_ID_BYTES + 8 + 4 + 4 + 8 + CRC_BYTES

export interface Meta {
  readonly databaseId: Uint8Array
  /** Counts the batches written: two states of one database differ in it. */
  generation: bigint
  packCount: number
  fileCount: number
  idCount: number
}

export function encodeMeta(meta: Meta, repositoryId: Uint8Array): Buffer {
  assert(repositoryId.length === REPOSITORY_ID_BYTES, 'a repository id has 16 bytes')
  const bytes = Buffer.alloc(META_BYTES)
  bytes.writeUInt32LE(SCHEMA_VERSION, 0)
  bytes.set(repositoryId, 4)
  bytes.set(meta.databaseId, 20)
  bytes.writeBigUInt64LE(meta.generation, 36)
  bytes.writeUInt32LE(meta.packCount, 44)
  bytes.writeUInt32LE(meta.fileCount, 48)
  bytes.writeBigUInt64LE(BigInt(meta.idCount), 52)
  return sealed(bytes, META_KEY)
}

export function decodeMeta(bytes: Buffer, repositoryId: Uint8Array): Meta {
  if (bytes.length !== META_BYTES || bytes.readUInt32LE(0) !== SCHEMA_VERSION) {
    throw new IndexDamagedError('it has another version')
  }
  if (!isSealed(bytes, META_KEY)) throw new IndexDamagedError('its head fails its checksum')
  if (!equalBytes(bytes.subarray(4, 20), repositoryId)) {
    throw new IndexDamagedError('it belongs to another repository')
  }
  return {
    databaseId: Uint8Array.from(bytes.subarray(20, 36)),
    generation: bytes.readBigUInt64LE(36),
    packCount: bytes.readUInt32LE(44),
    fileCount: bytes.readUInt32LE(48),
    idCount: Number(bytes.readBigUInt64LE(52)),
  }
}

/** Which state of which database: what a filter is saved for. */
export function stampOf(meta: Meta): Uint8Array {
  const generation = Buffer.alloc(8)
  generation.writeBigUInt64LE(meta.generation)
  return concat(meta.databaseId, generation)
}

/** Reads it, or writes a first one into an empty database if `randomness` is given. */
export async function readMeta(
  database: LevelDatabase,
  repositoryId: Uint8Array,
  randomness?: Randomness,
): Promise<Meta> {
  const bytes = getOrThrow(database, META_KEY)
  if (bytes !== undefined) return decodeMeta(bytes, repositoryId)
  let isEmpty = true
  await forEachKey(database, ALL, () => {
    isEmpty = false
  })
  if (randomness === undefined || !isEmpty) {
    throw new IndexDamagedError('its head is missing')
  }
  const databaseId = randomness.bytes(DATABASE_ID_BYTES)
  const meta = { databaseId, generation: 0n, packCount: 0, fileCount: 0, idCount: 0 }
  await database.batch().put(META_KEY, encodeMeta(meta, repositoryId)).write()
  return meta
}
