/**
 * The meaning of stored bytes: the code twin of FORMAT.md, and the door of this folder. Everything
 * above it speaks of blobs and snapshots; everything below of files.
 *
 * It must never read an I/O error as "not there", never use an object before it authenticated, and
 * never let one damaged object stop the reading of others.
 */

import { equalBytes, toHex } from '../base/bytes.ts'
import { CairnError, errorChain, isCairnError } from '../base/errors.ts'
import { type FileName, shortId } from '../base/ids.ts'
import type { Clock, Process, Randomness } from '../base/seams.ts'
import { loadBlake3 } from '../crypto/blake3.ts'
import type { ConfigBox } from '../format/config.ts'
import { OBJECT_KIND, type ObjectKind } from '../format/constants.ts'
import { decodeIndexFile, type IndexFile } from '../format/index-file.ts'
import { decodeMark, decodeTombstone, type Mark } from '../format/session.ts'
import type { WriteKeys } from '../pipeline/keys.ts'
import { type Entropy, openPackPreamble, type PackKey } from '../pipeline/pack-seal.ts'
import type { Backend, FileInfo } from '../storage/backend.ts'
import { requireKnown, requireWritableBox } from './config-limits.ts'
import { nameOf } from './stored-files.ts'
import type { Keyring } from './keyring.ts'
import { ObjectSeal } from './objects.ts'
import { type OpenOptions, type Unlocked, unlockRepository } from './open-repository.ts'
import { loadHistory } from './history.ts'
import {
  type DamagedFile,
  decodedOr,
  type History,
  type LoadedObject,
  type LoadedTombstone,
  type LoadOptions,
  type SeenSnapshot,
  type SeenTombstone,
} from './loaded-objects.ts'
import { SeenTombstones } from './seen-tombstones.ts'
import type { Snapshot } from './snapshots.ts'
import { type FileCache, TombstoneCache } from './tombstone-cache.ts'

export type { DamagedFile, History, LoadedObject, LoadedTombstone, LoadOptions, SeenTombstone }

export interface RepositoryParts {
  readonly backend: Backend
  readonly clock: Clock
  readonly random: Randomness
  readonly process: Process
  /** Opens the local cache, or gives undefined where there is none. */
  cache?(): Promise<FileCache | undefined>
}

/** How many small files are loaded at a time. */
const LOADS_AT_ONCE = 16

const KIND_OF_FOLDER = {
  index: OBJECT_KIND.index,
  snapshots: OBJECT_KIND.snapshot,
  retired: OBJECT_KIND.tombstone,
  marks: OBJECT_KIND.mark,
  sessions: OBJECT_KIND.session,
} as const
export type ObjectFolder = keyof typeof KIND_OF_FOLDER

export class Repository {
  readonly backend: Backend
  readonly clock: Clock
  readonly random: Randomness
  readonly process: Process
  readonly keyring: Keyring
  readonly box: ConfigBox
  readonly unlocked: Unlocked
  /** Random for this opening: in the salts of all it writes, and in its session beats. */
  readonly sessionId: Uint8Array
  /** Told of every look at tombstones and snapshots. */
  onHistory: ((history: History) => void) | undefined
  /** Every snapshot that a look at this opening has had, by its file: what is gone since as well. */
  readonly seenSnapshots = new Map<FileName, SeenSnapshot>()
  readonly #seal: ObjectSeal
  readonly #tombstones: SeenTombstones
  readonly #warn: (message: string) => void
  readonly #toldDamaged = new Set<FileName>()

  constructor(parts: RepositoryParts, unlocked: Unlocked, onWarning?: (message: string) => void) {
    this.backend = parts.backend
    this.clock = parts.clock
    this.random = parts.random
    this.process = parts.process
    this.unlocked = unlocked
    this.keyring = unlocked.keyring
    this.box = unlocked.box
    this.sessionId = parts.random.bytes(16)
    this.#warn = onWarning ?? (() => {})
    this.#seal = new ObjectSeal({
      keyring: this.keyring,
      entropy: this.entropy,
      sessionId: this.sessionId,
      authors: this.box.authors,
      padding: this.box.padding,
      aead: this.box.aead,
    })
    this.#tombstones = new SeenTombstones({
      list: (options) => this.#list('retired', options),
      load: (files, options) => this.openTombstones(files, options),
      cache: async () => {
        const files = await parts.cache?.()
        return files && new TombstoneCache(files, this.keyring, this.box.authors)
      },
    })
  }

  static async open(parts: RepositoryParts, options: OpenOptions): Promise<Repository> {
    const unlocked = await unlockRepository(parts.backend, options)
    return new Repository(parts, unlocked, options.onWarning)
  }

  /** 32 hex digits. */
  get id(): string {
    return toHex(this.keyring.repositoryId)
  }

  get entropy(): Entropy {
    return { clock: this.clock, random: this.random, pid: this.process.pid }
  }

  /** What workers need to write packs. */
  get writeKeys(): WriteKeys {
    const { current, ids, repositoryId } = this.keyring
    return {
      repositoryId,
      epoch: current.epoch,
      aead: this.box.aead,
      sealPublic: current.sealPublic,
      packPsk: current.packPsk,
      hedge: current.hedge,
      idKeys: { data: ids.data, metadata: ids.metadata },
      sessionId: this.sessionId,
    }
  }

  warn(message: string): void {
    this.#warn(message)
  }

  /** What is said of a damaged file, once, where `LoadOptions` do not say otherwise. */
  warnDamage({ kind, name, error }: DamagedFile): void {
    if (this.#toldDamaged.has(name)) return
    this.#toldDamaged.add(name)
    this.#warn(`${kind}/${shortId(name)} is damaged and left out: ${errorChain(error)}`)
  }

  /** What is said of one pack in an index file that is sound otherwise. */
  warnDamagedEntry(index: FileName, pack: FileName, error: unknown): void {
    const entry = `index/${shortId(index)}: the entry of pack ${shortId(pack)}`
    this.#warn(`${entry} is damaged and left out: ${errorChain(error)}`)
  }

  /**
   * Throws CAIRN_FORMAT_TOO_NEW if the config has features that this program must not write under,
   * CAIRN_CORRUPT if nothing can be written by its figures.
   */
  requireWritable(): void {
    requireKnown(this.unlocked.config.features.write, 'write to')
    requireWritableBox(this.box)
  }

  /** The same, and CAIRN_FORMAT_TOO_NEW if this program must not remove anything. */
  requirePrunable(): void {
    this.requireWritable()
    requireKnown(this.unlocked.config.features.prune, 'remove anything from')
  }

  /** Seals and saves an object; durable after the backend's `flush`. Returns its name and id. */
  async saveObject(
    folder: ObjectFolder,
    body: Uint8Array,
    signal?: AbortSignal,
  ): Promise<{ name: FileName; logicalId: Uint8Array; byteCount: number }> {
    const kind = KIND_OF_FOLDER[folder]
    const bytes = this.#seal.seal(kind, body)
    const opened = this.#seal.open(kind, bytes)
    if (!equalBytes(opened.body, body)) {
      throw new CairnError('CAIRN_FAILED', 'what was sealed does not open to what was given')
    }
    const name = nameOf(bytes)
    await this.backend.save({ kind: folder, name }, bytes, { signal })
    return { name, logicalId: this.#seal.logicalId(kind, body), byteCount: bytes.length }
  }

  /** Loads and opens one object; undefined if it is not there. Throws CAIRN_CORRUPT. */
  async loadObject(
    folder: ObjectFolder,
    name: FileName,
    signal?: AbortSignal,
  ): Promise<LoadedObject | undefined> {
    const operation = { signal }
    const bytes = await this.backend.load({ kind: folder, name }, undefined, operation)
    if (bytes === undefined) return undefined
    if (nameOf(bytes) !== name) {
      throw new CairnError('CAIRN_CORRUPT', 'its bytes do not have its name')
    }
    const opened = this.#seal.open(KIND_OF_FOLDER[folder], bytes)
    return { ...opened, name, byteCount: bytes.length }
  }

  /**
   * Lists a folder and opens everything in it. What is damaged goes to `onDamage` (default: a
   * warning); what vanished after the listing is left out. Order of names.
   */
  async loadObjects(folder: ObjectFolder, options: LoadOptions = {}): Promise<LoadedObject[]> {
    return await this.#loadFiles(folder, await this.#list(folder, options), options)
  }

  /** In order of names. */
  async #list(folder: ObjectFolder, { signal }: LoadOptions): Promise<FileInfo[]> {
    const files = await this.backend.list(folder, { signal })
    return files.sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  async #loadFiles(
    folder: ObjectFolder,
    files: readonly FileInfo[],
    options: LoadOptions,
  ): Promise<LoadedObject[]> {
    const vanished = new Set<FileName>()
    const onDamage = this.damageListener(options)
    const loaded: LoadedObject[] = []
    for (let at = 0; at < files.length; at += LOADS_AT_ONCE) {
      const batch = files.slice(at, at + LOADS_AT_ONCE)
      const opened = await Promise.all(
        batch.map(({ name }) => this.#loadOrReport(folder, name, onDamage, options.signal)),
      )
      for (const [i, object] of opened.entries()) {
        const name = batch[i]?.name
        if (object === undefined && name !== undefined) vanished.add(name)
        else if (object !== undefined && object !== 'damaged') loaded.push(object)
      }
    }
    const { onWithheld } = options
    if (vanished.size > 0 && onWithheld !== undefined) {
      for (const { name } of await this.#list(folder, options)) {
        if (vanished.has(name)) onWithheld({ kind: folder, name })
      }
    }
    return loaded
  }

  async #loadOrReport(
    folder: ObjectFolder,
    name: FileName,
    onDamage: (file: DamagedFile) => void,
    signal: AbortSignal | undefined,
  ): Promise<LoadedObject | 'damaged' | undefined> {
    try {
      return await this.loadObject(folder, name, signal)
    } catch (error) {
      if (!isCairnError(error, 'CAIRN_CORRUPT')) throw error
      onDamage({ kind: folder, name, error })
      return 'damaged'
    }
  }

  /** Who is told of damage: whoever asked to be, or else there is a warning. */
  damageListener({ onDamage }: LoadOptions): (file: DamagedFile) => void {
    return onDamage ?? ((file) => this.warnDamage(file))
  }

  /** All valid tombstones, whole. */
  async tombstones(options: LoadOptions = {}): Promise<LoadedTombstone[]> {
    return await this.openTombstones(await this.#list('retired', options), options)
  }

  /** The valid ones of some tombstones, whole. */
  async openTombstones(
    files: readonly FileInfo[],
    options: LoadOptions = {},
  ): Promise<LoadedTombstone[]> {
    const onDamage = this.damageListener(options)
    const tombstones: LoadedTombstone[] = []
    for (const object of await this.#loadFiles('retired', files, options)) {
      const { name, logicalId, byteCount, body } = object
      const tombstone = decodedOr(onDamage, 'retired', name, () => decodeTombstone(body))
      if (tombstone !== undefined) tombstones.push({ id: logicalId, name, byteCount, tombstone })
    }
    return tombstones
  }

  /** What all valid tombstones say, without the bodies that they keep: cheap however much that is. */
  async seenTombstones(options: LoadOptions = {}): Promise<SeenTombstone[]> {
    return await this.#tombstones.load(options)
  }

  /** The snapshots that are neither forgotten nor replaced, oldest first. */
  async snapshots(options: LoadOptions = {}): Promise<Snapshot[]> {
    return (await this.history(options)).snapshots
  }

  /** Tombstones and snapshots, as `loadHistory` has them. */
  async history(options: LoadOptions = {}): Promise<History> {
    const history = await loadHistory(this, options)
    this.onHistory?.(history)
    return history
  }

  /** Every valid mark and sweep intent. */
  async marks(signal?: AbortSignal): Promise<Mark[]> {
    const objects = await this.loadObjects('marks', { signal })
    return objects.map(({ body }) => decodeMark(body))
  }

  /** One index file, decoded; packs in it that are damaged are told and left out. */
  async loadIndexFile(name: FileName, signal?: AbortSignal): Promise<IndexFile | undefined> {
    const object = await this.loadObject('index', name, signal)
    return object === undefined ? undefined : this.decodeIndex(object)
  }

  decodeIndex(object: LoadedObject): IndexFile {
    return decodeIndexFile(object.body, (pack, error) =>
      this.warnDamagedEntry(object.name, pack, error),
    )
  }

  /** The listing of `packs`: name to length. */
  async listPacks(signal?: AbortSignal): Promise<Map<FileName, number>> {
    const files = await this.backend.list('packs', { signal })
    return new Map(files.map(({ name, byteCount }: FileInfo) => [name, byteCount]))
  }

  /** The key of a pack, from its preamble. Throws CAIRN_CORRUPT or CAIRN_WRONG_SECRET. */
  packKey(preamble: Uint8Array): PackKey {
    return openPackPreamble(preamble, this.keyring.repositoryId, this.keyring.epochs, loadBlake3())
  }

  objectLogicalId(kind: ObjectKind, body: Uint8Array): Uint8Array {
    return this.#seal.logicalId(kind, body)
  }
}
