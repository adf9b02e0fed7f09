/** The part of LevelDB (package `level`) that the index uses, with bytes as keys and values. */

import { Level } from 'level'
import { IndexDamagedError } from './level-rows.ts'

export interface KeyRange {
  readonly gte: Buffer
  readonly lt: Buffer
}

interface Cursor<Item> {
  /** At most `count` more; none at the end. */
  nextv(count: number): Promise<Item[]>
  close(): Promise<void>
}

/** Collects writes that happen together or not at all. */
export interface WriteBatch {
  readonly length: number
  put(key: Buffer, value: Buffer): WriteBatch
  write(): Promise<void>
  close(): Promise<void>
}

export interface LevelDatabase {
  open(): Promise<void>
  close(): Promise<void>
  getSync(key: Buffer): Buffer | undefined
  batch(): WriteBatch
  iterator(range: KeyRange): Cursor<[Buffer, Buffer]>
  keys(range: KeyRange): Cursor<Buffer>
  compactRange(start: Buffer, end: Buffer): Promise<void>
  getProperty(name: string): string
}

export interface OpenLevelOptions {
  readonly createIfMissing: boolean
  /** Whether other threads of this process may open it too. Other processes never may. */
  readonly multithreading: boolean
}

/**
 * Larger files and buffers than LevelDB's own: fewer links for a view, faster filling. No
 * compression: ids and lengths do not compress, and a plain block is read where it is mapped.
 */
const TUNING = {
  keyEncoding: 'buffer',
  valueEncoding: 'buffer',
  compression: false,
  writeBufferSize: 8 << 20,
  maxFileSize: 16 << 20,
  cacheSize: 8 << 20,
} as const

export async function openLevel(
  directory: string,
  options: OpenLevelOptions,
): Promise<LevelDatabase> {
  const level: unknown = new Level<Buffer, Buffer>(directory, { ...TUNING, ...options })
  const database = level as LevelDatabase
  await database.open()
  return database
}

/** Whether opening failed because somebody else has the database open. */
export function isLocked(error: unknown): boolean {
  const cause = error instanceof Error ? error.cause : undefined
  return cause instanceof Error && 'code' in cause && cause.code === 'LEVEL_LOCKED'
}

/** Calls `visit` for all entries of a range. */
export async function forEachEntry(
  database: LevelDatabase,
  range: KeyRange,
  visit: (key: Buffer, value: Buffer) => void,
): Promise<void> {
  await drain(database.iterator(range), ([key, value]) => visit(key, value))
}

export async function forEachKey(
  database: LevelDatabase,
  range: KeyRange,
  visit: (key: Buffer) => void,
): Promise<void> {
  await drain(database.keys(range), visit)
}

async function drain<Item>(cursor: Cursor<Item>, visit: (item: Item) => void): Promise<void> {
  try {
    for (;;) {
      const items = await cursor.nextv(4096)
      if (items.length === 0) return
      for (const item of items) visit(item)
    }
  } finally {
    await cursor.close()
  }
}

/** What LevelDB finds damaged is not there, whatever the damage is. */
export function getOrThrow(database: LevelDatabase, key: Buffer): Buffer | undefined {
  try {
    return database.getSync(key)
  } catch (error) {
    throw new IndexDamagedError('it cannot be read', error)
  }
}
