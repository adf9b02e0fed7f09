/** Runs the real backup engine inline, over any backend and any source, and reads back what it made. */

import { createHash } from 'node:crypto'
import { byteStringOf, type ByteString } from '../../src/base/bytes.ts'
import { backup } from '../../src/engine/backup/backup.ts'
import type { BackupOptions, BackupReport } from '../../src/engine/backup/backup-options.ts'
import type { ScanCacheFiles } from '../../src/engine/backup/scan-cache.ts'
import type { Environment } from '../../src/engine/environment.ts'
import { ENTRY_TYPE, type NodeRoot, type TreeEntry } from '../../src/format/tree.ts'
import { BLOB_TYPE } from '../../src/format/constants.ts'
import { isHole, referenceCount, referenceId, referenceLength } from '../../src/format/tree.ts'
import { BlobReader } from '../../src/repository/blob-reader.ts'
import { createRepository } from '../../src/repository/initialize.ts'
import { openIndex } from '../../src/repository/open-index.ts'
import { Repository } from '../../src/repository/repository.ts'
import type { Secret } from '../../src/repository/slots.ts'
import type { Snapshot } from '../../src/repository/snapshots.ts'
import { readChunkList, readDirectory } from '../../src/repository/tree-reader.ts'
import { nodeEnvironment } from '../../src/service/node-environment.ts'
import type { Backend } from '../../src/storage/backend.ts'

export const SECRET: Secret = { kind: 'passphrase', bytes: Buffer.from('correct horse') }
/** Small chunks and packs, so that a few files make many of both. */
const CHUNKER = { algorithm: 1, minBytes: 256, averageBytes: 512, maxBytes: 2048 }
const PACK_BYTES = 16 * 1024

export function inlineEnvironment(): Environment {
  return { ...nodeEnvironment(0), threads: 0, workerEntry: undefined }
}

export async function create(backend: Backend, environment = inlineEnvironment()): Promise<void> {
  await createRepository(
    { backend, clock: environment.clock, random: environment.random },
    {
      secret: SECRET,
      label: 'test',
      chunker: CHUNKER,
      dataPackBytes: PACK_BYTES,
      scryptCost: { N: 2 ** 14, r: 8, p: 1 },
    },
  )
}

export async function open(
  backend: Backend,
  environment = inlineEnvironment(),
  onWarning: (message: string) => void = () => {},
): Promise<Repository> {
  const { clock, random, process } = environment
  return await Repository.open({ backend, clock, random, process }, { secret: SECRET, onWarning })
}

function sha256Hex(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** A cache folder in memory. */
export class MemoryCache implements ScanCacheFiles {
  readonly files = new Map<string, Buffer>()

  openForRead(name: string) {
    const bytes = this.files.get(name)
    if (bytes === undefined) return undefined
    return {
      byteCount: bytes.length,
      read: (into: Uint8Array, offset: number, length: number, position: number) =>
        bytes.copy(into, offset, position, Math.min(bytes.length, position + length)),
      close: () => {},
    }
  }

  createWriter(name: string) {
    const parts: Buffer[] = []
    return {
      write: (bytes: Uint8Array) => {
        parts.push(Buffer.from(bytes))
      },
      commit: () => {
        this.files.set(name, Buffer.concat(parts))
      },
      discard: () => {},
    }
  }
}

export async function backUp(
  backend: Backend,
  path: string,
  overrides: Partial<BackupOptions> = {},
): Promise<BackupReport> {
  const environment = overrides.environment ?? inlineEnvironment()
  return await backup({
    environment,
    opening: overrides.opening ?? open(backend, environment),
    scanCache: undefined,
    cacheDirectory: undefined,
    input: { kind: 'paths', paths: [byteStringOf(path)], workingDirectory: '/' },
    exclusions: {
      patterns: [],
      tags: [],
      largerThan: undefined,
      oneFileSystem: false,
      forbidden: [],
    },
    excludePatterns: [],
    tags: [],
    hostname: 'host',
    chooseParent: (snapshots) => snapshots.at(-1),
    force: false,
    ignoreInode: false,
    ignoreCtime: false,
    withAtime: false,
    dryRun: false,
    skipIfUnchanged: false,
    level: 3,
    verify: true,
    program: 'test',
    listener: {},
    ...overrides,
  })
}

/**
 * Every path of a snapshot with its content, so that two snapshots compare. Directories above
 * `below`, which others may change, are left out.
 */
export async function contentsOf(
  repository: Repository,
  snapshot: Snapshot,
  below = '',
): Promise<Map<ByteString, string>> {
  const opened = await openIndex(repository, {
    cacheDirectory: undefined,
    bulk: true,
    readOrphans: true,
  })
  const blobs = new BlobReader(repository, opened.index)
  const found = new Map<ByteString, string>()
  const root = snapshot.content?.root
  if (root === undefined) throw new Error('the snapshot cannot be read')
  await readTree(blobs, root, '', found)
  await opened.close()
  for (const path of found.keys()) if (!path.startsWith(below)) found.delete(path)
  return found
}

async function readTree(
  blobs: BlobReader,
  root: NodeRoot,
  path: ByteString,
  found: Map<ByteString, string>,
): Promise<void> {
  for await (const entries of readDirectory(blobs, root)) {
    for (const entry of entries) {
      const child = `${path}/${entry.name}`
      const { seconds, nanoseconds } = entry.mtime
      const stat = `${entry.type} ${entry.mode.toString(8)} ${seconds}.${nanoseconds}`
      if (entry.type === ENTRY_TYPE.file) {
        found.set(child, `${stat} ${sha256Hex(await fileContent(blobs, entry))}`)
      } else found.set(child, `${stat} ${Buffer.from(entry.target ?? []).toString('latin1')}`)
      if (entry.subtree !== undefined) await readTree(blobs, entry.subtree, child, found)
    }
  }
}

/** The entries below `below` of the newest snapshot, by path from there, and what reads their blobs. */
export async function entriesOf(
  repository: Repository,
  snapshot: Snapshot | undefined,
  below: string,
): Promise<{ entries: Map<ByteString, TreeEntry>; blobs: BlobReader; close: () => Promise<void> }> {
  const opened = await openIndex(repository, {
    cacheDirectory: undefined,
    bulk: true,
    readOrphans: true,
  })
  const blobs = new BlobReader(repository, opened.index)
  const entries = new Map<ByteString, TreeEntry>()
  const add = async (root: NodeRoot, path: ByteString): Promise<void> => {
    for await (const leaf of readDirectory(blobs, root)) {
      for (const entry of leaf) {
        const child = `${path}/${entry.name}`
        if (child.startsWith(`${below}/`)) entries.set(child.slice(below.length + 1), entry)
        if (entry.subtree !== undefined) await add(entry.subtree, child)
      }
    }
  }
  const root = snapshot?.content?.root
  if (root === undefined) throw new Error('the snapshot cannot be read')
  await add(root, '')
  return { entries, blobs, close: () => opened.close() }
}

export async function fileContent(blobs: BlobReader, entry: TreeEntry): Promise<Buffer> {
  const parts: Uint8Array[] = []
  const add = async (references: Uint8Array) => {
    for (let i = 0; i < referenceCount(references); i++) {
      const id = referenceId(references, i)
      if (isHole(id)) parts.push(new Uint8Array(referenceLength(references, i)))
      else parts.push(Uint8Array.from(await blobs.load(id, BLOB_TYPE.data)))
    }
  }
  if (entry.content !== undefined) await add(entry.content)
  if (entry.contentList !== undefined) {
    for await (const references of readChunkList(blobs, entry.contentList)) await add(references)
  }
  return Buffer.concat(parts)
}
