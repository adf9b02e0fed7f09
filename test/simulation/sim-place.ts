/**
 * The truth of a simulated storage: which files there are, which of them a power cut would take
 * back, and what each client's listings show of them.
 */

import { createHash } from 'node:crypto'
import { CairnError } from '../../src/base/errors.ts'
import { isFileName } from '../../src/base/ids.ts'
import {
  type FileInfo,
  type FileKind,
  type FileRef,
  type ForeignFile,
} from '../../src/storage/backend.ts'
import { describeFile, differentLengthError } from '../../src/storage/file-errors.ts'
import { SeededRandom } from './seeded-random.ts'

export interface PlaceTraits {
  /** Files show in listings, and vanish from them, up to this much later. 0 lists consistently. */
  readonly listingLagMs: number
  /** Whether a power cut loses what no flush of its writer has made durable. */
  readonly losesUnflushed: boolean
  /** A listing takes up to this much. */
  readonly listMsMax: number
  /** A full disk refuses what would go beyond this. */
  readonly byteCountMax: number
}

export interface PlaceObserver {
  /** A file has become visible to loads. */
  onSaved?(file: FileRef, bytes: Uint8Array, client: string): void
  onRemoved?(file: FileRef, client: string): void
  onViolation?(what: string): void
}

interface StoredFile {
  readonly file: FileRef | undefined
  readonly bytes: Uint8Array
  readonly savedMs: number
  /** Who saved it, or has removed it: its own listings never lag. */
  readonly client: string
  /** Still in the listings of some until they have caught up. */
  removedMs: number | undefined
}

interface UnflushedChange {
  readonly path: string
  readonly before: StoredFile | undefined
  /** Whoever of these flushes makes it durable. */
  readonly clients: Set<string>
}

/** Kinds that the reserve file makes room for on a full disk (src/storage/local). */
const KINDS_WORTH_THE_RESERVE: ReadonlySet<FileKind> = new Set(['marks', 'retired'])

export class SimPlace {
  readonly traits: PlaceTraits
  readonly #now: () => number
  readonly #seed: string
  readonly #files = new Map<string, StoredFile>()
  /** What is gone but may still be listed somewhere. */
  readonly #ghosts = new Map<string, StoredFile>()
  #unflushed: UnflushedChange[] = []
  #byteCountMax: number
  readonly #lags = new Map<string, number>()
  observer: PlaceObserver = {}

  constructor(options: {
    readonly traits: PlaceTraits
    readonly now: () => number
    readonly seed: string
  }) {
    this.traits = options.traits
    this.#now = options.now
    this.#seed = options.seed
    this.#byteCountMax = options.traits.byteCountMax
  }

  get byteCount(): number {
    let sum = 0
    for (const { bytes } of this.#files.values()) sum += bytes.length
    return sum
  }

  /** From now on a save fails that would bring the files to more than this. */
  limit(byteCountMax: number): void {
    this.#byteCountMax = byteCountMax
  }

  /** The files of a kind as they are, in no listing's delay. */
  truth(kind: FileKind): FileInfo[] {
    const found: FileInfo[] = []
    for (const { file, bytes, savedMs } of this.#files.values()) {
      if (file?.kind !== kind) continue
      found.push({ name: file.name, byteCount: bytes.length, mtimeMs: savedMs })
    }
    return found
  }

  bytesOf(file: FileRef): Uint8Array | undefined {
    return this.#files.get(pathOf(file))?.bytes
  }

  /** Puts anything at any path, as somebody who is not cairn does. */
  plant(path: string, bytes: Uint8Array): void {
    const [kind = '', name = ''] = path.split('/')
    const file = isFileName(name) ? { kind: kind as FileKind, name } : undefined
    this.#files.set(path, { file, bytes, savedMs: this.#now(), client: '', removedMs: undefined })
  }

  save(file: FileRef, bytes: Uint8Array, client: string): void {
    const path = pathOf(file)
    const before = this.#files.get(path)
    if (before !== undefined) {
      if (before.bytes.length !== bytes.length) {
        throw differentLengthError(file, 'sim', {
          expected: bytes.length,
          found: before.bytes.length,
        })
      }
      this.#flushWith(client, (changed) => changed === path)
      return
    }
    this.#requireSpace(file, bytes.length)
    const stored = { file, bytes, savedMs: this.#now(), client, removedMs: undefined }
    this.#files.set(path, stored)
    this.#ghosts.delete(path)
    this.#note(path, undefined, client)
    this.observer.onSaved?.(file, bytes, client)
  }

  #requireSpace(file: FileRef, byteCount: number): void {
    if (KINDS_WORTH_THE_RESERVE.has(file.kind)) return
    if (this.byteCount + byteCount <= this.#byteCountMax) return
    throw new CairnError(
      'CAIRN_STORAGE_REFUSED',
      `cannot save ${describeFile(file)} in 'sim': no space left on the device`,
      { details: { errno: 'ENOSPC' } },
    )
  }

  remove(file: FileRef, client: string): void {
    const path = pathOf(file)
    const before = this.#files.get(path)
    if (before === undefined) return
    this.#files.delete(path)
    if (this.traits.listingLagMs > 0) {
      this.#ghosts.set(path, { ...before, client, removedMs: this.#now() })
    }
    this.#note(path, before, client)
    this.observer.onRemoved?.(file, client)
  }

  #note(path: string, before: StoredFile | undefined, client: string): void {
    if (!this.traits.losesUnflushed) return
    this.#unflushed.push({ path, before, clients: new Set([client]) })
  }

  /** What a client has saved once more, or listed, its flush makes durable, too. */
  #flushWith(client: string, isMeant: (path: string) => boolean): void {
    for (const change of this.#unflushed) if (isMeant(change.path)) change.clients.add(client)
  }

  flush(client: string): void {
    this.#unflushed = this.#unflushed.filter(({ clients }) => !clients.has(client))
  }

  /** What one client's listing shows. */
  list(
    kind: FileKind,
    client: string,
    onForeign: ((file: ForeignFile) => void) | undefined,
  ): FileInfo[] {
    const listed: FileInfo[] = []
    if (kind !== 'packs') this.#flushWith(client, (path) => path.startsWith(`${kind}/`))
    for (const files of [this.#files, this.#ghosts]) {
      for (const [path, stored] of files) {
        if (!path.startsWith(`${kind}/`)) continue
        if (!this.#isListed(path, stored, client)) continue
        const { file, bytes, savedMs } = stored
        if (file === undefined) onForeign?.({ kind, path })
        else listed.push({ name: file.name, byteCount: bytes.length, mtimeMs: savedMs })
      }
    }
    return listed
  }

  #isListed(path: string, stored: StoredFile, client: string): boolean {
    const { savedMs, removedMs } = stored
    if (this.traits.listingLagMs === 0 || stored.client === client) return removedMs === undefined
    const lagMs = this.#lagMs(path, client)
    if (removedMs !== undefined) return this.#now() < removedMs + lagMs
    return this.#now() >= savedMs + lagMs
  }

  /** Half of the files show at once, the others after anything up to the longest. */
  #lagMs(path: string, client: string): number {
    const key = `${client} ${path}`
    let lagMs = this.#lags.get(key)
    if (lagMs === undefined) {
      const random = SeededRandom.of(this.#seed, 'lag', key)
      lagMs = random.chance(0.5) ? 0 : random.spread(1, this.traits.listingLagMs)
      this.#lags.set(key, lagMs)
    }
    return lagMs
  }

  /** The power goes: some of what nobody has flushed is as it was before. Returns how many. */
  powerCut(random: SeededRandom): number {
    const lostPaths = new Set<string>()
    const lost = this.#unflushed.filter(({ path }) => {
      if (!lostPaths.has(path) && random.chance(0.5)) return false
      lostPaths.add(path)
      return true
    })
    for (const { path, before } of lost.reverse()) {
      if (before === undefined) this.#files.delete(path)
      else this.#files.set(path, before)
    }
    this.#unflushed = []
    return lost.length
  }

  /** Every file that does not have the SHA-256 of its bytes as its name. */
  misnamed(): string[] {
    const found: string[] = []
    for (const [path, { file, bytes }] of this.#files) {
      if (file === undefined) continue
      if (createHash('sha256').update(bytes).digest('hex') !== file.name) found.push(path)
    }
    return found
  }
}

export function pathOf(file: FileRef): string {
  return `${file.kind}/${file.name}`
}
