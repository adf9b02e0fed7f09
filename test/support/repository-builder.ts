/**
 * Builds repositories without the backup engine, for tests of everything that reads them: ordinary
 * ones from a list of files, and hostile ones from raw entries and bytes that no backup would write.
 */

import { byteStringOf, type ByteString } from '../../src/base/bytes.ts'
import type { SnapshotId } from '../../src/base/ids.ts'
import { nodeClock, nodeProcess, nodeRandomness } from '../../src/base/node-seams.ts'
import type { Clock, Randomness } from '../../src/base/seams.ts'
import { loadZstd } from '../../src/compression/zstd.ts'
import { loadBlake3, prepareBlake3 } from '../../src/crypto/blake3.ts'
import { BLOB_TYPE, type BlobType, LIMIT, PADDING } from '../../src/format/constants.ts'
import { REFERENCE_BYTES, SEGMENT_KIND } from '../../src/format/constants.ts'
import { type SnapshotContent, STATISTIC_KEYS } from '../../src/format/snapshot.ts'
import { ENTRY_TYPE, type NodeRoot, type Time, type TreeEntry } from '../../src/format/tree.ts'
import { Claims } from '../../src/pipeline/claim-table.ts'
import { BlobIdentifier } from '../../src/pipeline/keys.ts'
import { PackWriter } from '../../src/pipeline/pack-writer.ts'
import { createRepository } from '../../src/repository/initialize.ts'
import { MetadataWriter } from '../../src/repository/metadata-writer.ts'
import { PackStore } from '../../src/repository/pack-store.ts'
import { Repository } from '../../src/repository/repository.ts'
import type { Secret } from '../../src/repository/slots.ts'
import { saveSnapshot } from '../../src/repository/snapshots.ts'
import { timeOf } from '../../src/repository/time.ts'
import { ChunkListWriter, TreeWriter } from '../../src/repository/tree-writer.ts'
import type { Backend } from '../../src/storage/backend.ts'
import { MemoryBackend } from '../../src/storage/memory/memory-backend.ts'

export interface BuilderOptions {
  readonly backend?: Backend
  readonly secret?: Secret
  /** Target size of data packs. Default 16 MiB. */
  readonly packBytes?: number
  /** Files are cut into chunks of exactly this many bytes. Default 64 KiB. */
  readonly chunkBytes?: number
  /** zstd level; undefined stores without compression. Default 3. */
  readonly level?: number | undefined
  /** False writes data packs without opening them again, so that they may hold anything. */
  readonly verify?: boolean
  readonly clock?: Clock
  readonly random?: Randomness
}

export interface BuiltRepository {
  readonly repository: Repository
  readonly snapshotId: SnapshotId
  readonly root: NodeRoot
  readonly backend: Backend
  readonly secret: Secret
  /** The same repository, opened from its stored bytes alone. */
  reopen(): Promise<Repository>
}

export const TEST_SECRET: Secret = { kind: 'passphrase', bytes: Buffer.from('correct horse') }
const TEST_SCRYPT = { N: 2 ** 14, r: 8, p: 1 }
export const TEST_TIME: Time = { seconds: 1_700_000_000, nanoseconds: 123_456_789 }

/** An entry that is encoded already, to write what `TreeEntry` cannot say. */
export interface RawEntry {
  readonly name: ByteString
  readonly encoded: Uint8Array
}

/** What an entry of `files` may be. A bare buffer is a file of mode 0644. */
export type FileSpec = Buffer | EntrySpec
export interface EntrySpec extends Partial<Omit<TreeEntry, 'name' | 'type' | 'target'>> {
  readonly type: 'file' | 'directory' | 'symlink' | 'fifo' | 'socket' | 'chardevice' | 'blockdevice'
  /** Of a file. */
  readonly bytes?: Buffer
  /** Of a symlink. */
  readonly target?: string
}

const TYPE_NUMBERS = {
  file: ENTRY_TYPE.file,
  directory: ENTRY_TYPE.directory,
  symlink: ENTRY_TYPE.symlink,
  fifo: ENTRY_TYPE.fifo,
  socket: ENTRY_TYPE.socket,
  chardevice: ENTRY_TYPE.chardevice,
  blockdevice: ENTRY_TYPE.blockdevice,
}

/** A directory while it is being put together. */
interface Folder {
  readonly children: Map<ByteString, Folder | TreeEntry>
  spec: EntrySpec
}

function isFolder(child: Folder | TreeEntry): child is Folder {
  return 'children' in child
}

export class RepositoryBuilder {
  readonly repository: Repository
  readonly #secret: Secret
  readonly #chunkBytes: number
  readonly #store: PackStore
  readonly #metadata: MetadataWriter
  readonly #identifier: BlobIdentifier
  readonly #level: number | undefined
  readonly #packBytes: number
  readonly #verify: boolean
  readonly #seen = new Set<string>()
  #data: PackWriter
  #lastHandle = 0

  private constructor(repository: Repository, options: BuilderOptions) {
    this.repository = repository
    this.#secret = options.secret ?? TEST_SECRET
    this.#chunkBytes = options.chunkBytes ?? 64 * 1024
    this.#packBytes = options.packBytes ?? 16 << 20
    this.#verify = options.verify ?? true
    this.#level = 'level' in options ? options.level : 3
    this.#store = new PackStore({ repository })
    this.#identifier = new BlobIdentifier(repository.writeKeys.idKeys, loadBlake3())
    const claims = new Claims([])
    claims.grow()
    this.#metadata = new MetadataWriter({
      repository,
      store: this.#store,
      claims,
      index: undefined,
      states: undefined,
      level: this.#level,
      nextHandle: () => ++this.#lastHandle,
      onRelied: () => claims.grow(),
    })
    this.#data = this.#dataWriter()
  }

  static async create(options: BuilderOptions = {}): Promise<RepositoryBuilder> {
    await prepareBlake3()
    const { backend = new MemoryBackend(), secret = TEST_SECRET } = options
    const { clock = nodeClock(), random = nodeRandomness() } = options
    const parts = { backend, clock, random, process: nodeProcess() }
    await createRepository(parts, { secret, label: 'test', scryptCost: TEST_SCRYPT })
    const repository = await Repository.open(parts, { secret })
    return new RepositoryBuilder(repository, options)
  }

  #dataWriter(): PackWriter {
    return new PackWriter(
      {
        kind: SEGMENT_KIND.data,
        keys: this.repository.writeKeys,
        packBytesTarget: this.#packBytes,
        blobBytesMax: LIMIT.blobBytesMax,
        padding: PADDING.tail,
        level: this.#level,
        verify: this.#verify,
      },
      {
        blake3: loadBlake3(),
        zstd: loadZstd(),
        entropy: this.repository.entropy,
        allocate: (byteCount) => new ArrayBuffer(byteCount),
        emit: (pack) => this.#store.take(pack),
        nextHandle: () => ++this.#lastHandle,
      },
    )
  }

  /**
   * Stores a data blob, once, or once more with `again`, under its id, or under a wrong one with
   * `as` (which needs `verify: false`). Returns the id.
   */
  blob(
    bytes: Uint8Array,
    options: { type?: BlobType; again?: boolean; as?: Uint8Array } = {},
  ): Uint8Array {
    const type = options.type ?? BLOB_TYPE.data
    const id = Buffer.from(options.as ?? this.#identifier.id(type, bytes))
    const key = id.toString('latin1')
    if (!this.#seen.has(key) || options.again === true) this.#data.add(type, id, bytes)
    this.#seen.add(key)
    return id
  }

  /** The id that `bytes` would have, without storing them. */
  id(bytes: Uint8Array, type: BlobType = BLOB_TYPE.data): Uint8Array {
    return Buffer.from(this.#identifier.id(type, bytes))
  }

  /** Ends the open segment and pack: what is added next goes to others. Waits for the storage. */
  async closePack(): Promise<void> {
    this.#data.finish()
    this.#data = this.#dataWriter()
    await this.#store.ready()
  }

  /** References of a file's bytes, 36 bytes each. */
  references(bytes: Uint8Array): Buffer {
    const count = Math.ceil(bytes.length / this.#chunkBytes)
    const references = Buffer.alloc(count * REFERENCE_BYTES)
    for (let i = 0; i < count; i++) {
      const chunk = bytes.subarray(i * this.#chunkBytes, (i + 1) * this.#chunkBytes)
      references.set(this.blob(chunk), i * REFERENCE_BYTES)
      references.writeUInt32LE(chunk.length, i * REFERENCE_BYTES + 32)
    }
    return references
  }

  /** Size and content fields of an entry with these references. */
  content(size: number, references: Uint8Array): Partial<TreeEntry> {
    if (references.length <= LIMIT.inlineReferencesMax * REFERENCE_BYTES) {
      return { size, content: references }
    }
    const list = new ChunkListWriter((type, bytes) => this.#metadata.save(type, bytes))
    list.add(references)
    return { size, contentList: list.finish() }
  }

  entry(name: string, spec: FileSpec): TreeEntry {
    const { type, bytes, target, ...given } = Buffer.isBuffer(spec)
      ? { type: 'file' as const, bytes: spec, target: undefined }
      : spec
    const content = bytes === undefined ? {} : this.content(bytes.length, this.references(bytes))
    return {
      name: byteStringOf(name),
      type: TYPE_NUMBERS[type],
      mode: type === 'directory' ? 0o755 : type === 'symlink' ? 0o777 : 0o644,
      uid: process.getuid?.() ?? 0,
      gid: process.getgid?.() ?? 0,
      mtime: TEST_TIME,
      size: 0,
      ...content,
      ...(target === undefined ? {} : { target: Buffer.from(target) }),
      ...given,
    }
  }

  /** Writes a directory with exactly these entries in exactly this order. */
  directory(entries: Iterable<TreeEntry | RawEntry>): NodeRoot {
    const split = loadBlake3().keyed(this.repository.keyring.ids.split)
    const writer = new TreeWriter((type, bytes) => this.#metadata.save(type, bytes), split)
    for (const entry of entries) {
      if ('encoded' in entry) writer.addEncoded(entry.name, entry.encoded)
      else writer.add(entry)
    }
    return writer.finish()
  }

  /** Stores a metadata blob of any bytes. */
  metadataBlob(type: BlobType, bytes: Uint8Array): Uint8Array {
    return this.#metadata.save(type, bytes)
  }

  /** Writes a whole tree. Directories on the way to a path need no entry of their own. */
  tree(files: Readonly<Record<string, FileSpec>>): NodeRoot {
    const root: Folder = { children: new Map(), spec: { type: 'directory' } }
    for (const [path, spec] of Object.entries(files)) {
      const names = path.split('/').filter((name) => name !== '')
      const last = names.pop() ?? ''
      const folder = names.reduce(folderIn, root)
      if (!Buffer.isBuffer(spec) && spec.type === 'directory') folderIn(folder, last).spec = spec
      else folder.children.set(byteStringOf(last), this.entry(last, spec))
    }
    return this.#folder(root)
  }

  #folder(folder: Folder): NodeRoot {
    const names = [...folder.children.keys()].sort((a, b) => (a < b ? -1 : 1))
    const entries = names.flatMap((name): TreeEntry[] => {
      const child = folder.children.get(name)
      if (child === undefined) return []
      if (!isFolder(child)) return [child]
      const entry = this.entry('', { subtree: this.#folder(child), ...child.spec })
      return [{ ...entry, name }]
    })
    return this.directory(entries)
  }

  /** Makes everything durable and saves a snapshot of `root`. The builder is used up. */
  async finish(root: NodeRoot, content: Partial<SnapshotContent> = {}): Promise<BuiltRepository> {
    this.#data.finish()
    this.#metadata.finish()
    await this.#store.finish()
    const { repository } = this
    const snapshots = await repository.snapshots()
    const time = timeOf(repository.clock.wallNs())
    const full = { ...defaultContent(root, time), ...content }
    const { id } = await saveSnapshot(repository, time, full, {
      snapshots,
      tombstones: [],
      isSettled: () => true,
    })
    const { backend, clock, random, process } = repository
    await backend.flush()
    const secret = this.#secret
    return {
      repository,
      snapshotId: id,
      root,
      backend,
      secret,
      reopen: () => Repository.open({ backend, clock, random, process }, { secret }),
    }
  }
}

function folderIn(folder: Folder, name: string): Folder {
  const key = byteStringOf(name)
  const known = folder.children.get(key)
  if (known !== undefined && isFolder(known)) return known
  const made: Folder = { children: new Map(), spec: { type: 'directory' } }
  folder.children.set(key, made)
  return made
}

function defaultContent(root: NodeRoot, time: Time): SnapshotContent {
  const statistics = Object.fromEntries(STATISTIC_KEYS.map((key) => [key, 0]))
  return {
    root,
    paths: ['/'],
    hostname: 'test-host',
    username: 'tester',
    tags: [],
    start: time,
    end: time,
    program: 'cairn test',
    excludes: [],
    statistics: statistics as SnapshotContent['statistics'],
    userNames: new Map(),
    groupNames: new Map(),
    uid: 0,
    gid: 0,
    system: ['linux', 'x64'],
  }
}

/** A repository with one snapshot of `files`, by path. */
export async function buildRepository(
  options: BuilderOptions & {
    readonly files: Readonly<Record<string, FileSpec>>
    readonly content?: Partial<SnapshotContent>
  },
): Promise<BuiltRepository> {
  const builder = await RepositoryBuilder.create(options)
  return await builder.finish(builder.tree(options.files), options.content)
}
