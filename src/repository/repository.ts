/**
 * The meaning of stored bytes: the code twin of FORMAT.md, and the door of this folder. Everything
 * above it speaks of blobs and snapshots; everything below of files.
 *
 * It must never read an I/O error as "not there", never use an object before it authenticated, and
 * never let one damaged object stop the reading of others.
 */

import { equalBytes, toHex } from '../base/bytes.ts'
import { CairnError, errorChain, isCairnError } from '../base/errors.ts'
import { type FileName, shortId, snapshotIdOf } from '../base/ids.ts'
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
import { nameOf } from './initialize.ts'
import type { Keyring } from './keyring.ts'
import { ObjectSeal } from './objects.ts'
import { type OpenOptions, type Unlocked, unlockRepository } from './open-repository.ts'
import { replacedSnapshots } from './partial-snapshots.ts'
import {
  type DamagedFile,
  decodedOr,
  type History,
  type LoadedObject,
  type LoadedTombstone,
  type LoadOptions,
} from './loaded-objects.ts'
import { decodeSnapshot, type Snapshot } from './snapshots.ts'
import { ForgottenIds } from './forgotten-ids.ts'

export type { DamagedFile, History, LoadedObject, LoadedTombstone, LoadOptions }

export interface RepositoryParts {
  readonly backend: Backend
  readonly clock: Clock
  readonly random: Randomness
  readonly process: Process
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
  readonly #seal: ObjectSeal
  readonly #warn: (message: string) => void

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

  /** What is said of a damaged file where `LoadOptions` do not say otherwise. */
  warnDamage({ kind, name, error }: DamagedFile): void {
    this.#warn(`${kind}/${shortId(name)} is damaged and left out: ${errorChain(error)}`)
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
    await this.backend.save({ kind: folder, name }, bytes, signal === undefined ? {} : { signal })
    return { name, logicalId: this.#seal.logicalId(kind, body), byteCount: bytes.length }
  }

  /** Loads and opens one object; undefined if it is not there. Throws CAIRN_CORRUPT. */
  async loadObject(
    folder: ObjectFolder,
    name: FileName,
    signal?: AbortSignal,
  ): Promise<LoadedObject | undefined> {
    const operation = signal === undefined ? {} : { signal }
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
    const operation = options.signal === undefined ? {} : { signal: options.signal }
    const files = await this.backend.list(folder, operation)
    files.sort((a, b) => (a.name < b.name ? -1 : 1))
    const vanished = new Set<FileName>()
    const onDamage = options.onDamage ?? ((file) => this.warnDamage(file))
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
      for (const { name } of await this.backend.list(folder, operation)) {
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

  /** All valid tombstones. */
  async tombstones(options: LoadOptions = {}): Promise<LoadedTombstone[]> {
    const onDamage = options.onDamage ?? ((file: DamagedFile) => this.warnDamage(file))
    const tombstones: LoadedTombstone[] = []
    for (const object of await this.loadObjects('retired', options)) {
      const { name, logicalId, byteCount, body } = object
      const tombstone = decodedOr(onDamage, 'retired', name, () => decodeTombstone(body))
      if (tombstone !== undefined) tombstones.push({ id: logicalId, name, byteCount, tombstone })
    }
    return tombstones
  }

  /** The snapshots that are neither forgotten nor replaced, oldest first. */
  async snapshots(options: LoadOptions = {}): Promise<Snapshot[]> {
    return (await this.history(options)).snapshots
  }

  /**
   * Tombstones and snapshots. Tombstones are listed before snapshots (FORMAT.md 17), so that a
   * snapshot re-tagged meanwhile shows at least once. Tombstones that came between the two are given
   * as well: what they name is not lost.
   */
  async history(options: LoadOptions = {}): Promise<History> {
    const tombstones = await this.tombstones(options)
    const forgotten = new ForgottenIds(tombstones.map(({ tombstone }) => tombstone))
    const onDamage = options.onDamage ?? ((file: DamagedFile) => this.warnDamage(file))
    const listed: Snapshot[] = []
    const leftovers: FileName[] = []
    const files = new Set<FileName>()
    const seen = new Set<string>()
    for (const object of await this.loadObjects('snapshots', options)) {
      const id = snapshotIdOf(object.logicalId)
      files.add(object.name)
      if (forgotten.has(id)) leftovers.push(object.name)
      if (forgotten.has(id) || seen.has(id)) continue
      seen.add(id)
      const decode = () => decodeSnapshot(object, this.keyring)
      const snapshot = decodedOr(onDamage, 'snapshots', object.name, decode)
      if (snapshot !== undefined) listed.push(snapshot)
    }
    listed.sort((a, b) => (a.timeNs < b.timeNs ? -1 : a.timeNs > b.timeNs ? 1 : 0))
    const isReplaced = replacedSnapshots(
      listed,
      tombstones.map(({ tombstone }) => tombstone),
    )
    const later = await this.#tombstonesSince(tombstones, options)
    const all = [...tombstones, ...later]
    const history = {
      tombstones: all,
      forgotten:
        later.length === 0 ? forgotten : new ForgottenIds(all.map(({ tombstone }) => tombstone)),
      snapshots: listed.filter(({ id }) => !isReplaced.has(id)),
      replaced: listed.filter(({ id }) => isReplaced.has(id)),
      files,
      leftovers,
    }
    this.onHistory?.(history)
    return history
  }

  async #tombstonesSince(
    tombstones: readonly LoadedTombstone[],
    { signal }: LoadOptions,
  ): Promise<LoadedTombstone[]> {
    const known = new Set(tombstones.map(({ name }) => name))
    const operation = signal === undefined ? {} : { signal }
    const listed = await this.backend.list('retired', operation)
    if (listed.every(({ name }) => known.has(name))) return []
    const now = await this.tombstones({ ...operation, onDamage: () => {} })
    return now.filter(({ name }) => !known.has(name))
  }

  /** Every valid mark and sweep intent. */
  async marks(signal?: AbortSignal): Promise<Mark[]> {
    const objects = await this.loadObjects('marks', signal === undefined ? {} : { signal })
    return objects.map(({ body }) => decodeMark(body))
  }

  /** One index file, decoded; packs in it that are damaged are told and left out. */
  async loadIndexFile(name: FileName, signal?: AbortSignal): Promise<IndexFile | undefined> {
    const object = await this.loadObject('index', name, signal)
    return object === undefined ? undefined : this.decodeIndex(object)
  }

  decodeIndex(object: LoadedObject): IndexFile {
    return decodeIndexFile(object.body, (pack, error) =>
      this.#warn(
        `index ${shortId(object.name)}: the entry of pack ${shortId(pack)} is damaged: ${errorChain(error)}`,
      ),
    )
  }

  /** The listing of `packs`: name to length. */
  async listPacks(signal?: AbortSignal): Promise<Map<FileName, number>> {
    const files = await this.backend.list('packs', signal === undefined ? {} : { signal })
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
