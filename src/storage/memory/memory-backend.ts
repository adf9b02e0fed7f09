/**
 * A place in memory, for tests and the simulation: the same contract as every other, and a model of
 * what a power cut does to changes that no flush has made durable.
 *
 * Each change takes effect at once within the call, before anything is awaited, so that the order
 * of calls is the order of effects.
 */

import { throwIfAborted } from '../../base/errors.ts'
import { isFileName } from '../../base/ids.ts'
import { type Clock, wallMs } from '../../base/seams.ts'
import type {
  Backend,
  ByteRange,
  FileInfo,
  FileKind,
  FileRef,
  ForeignFile,
  OpOptions,
} from '../backend.ts'
import { checkedRange, differentLengthError } from '../file-errors.ts'

/** A save or remove that no flush has followed. */
export interface PendingChange {
  readonly verb: 'save' | 'remove'
  /** `<kind>/<name>`. */
  readonly path: string
}

interface LoggedChange extends PendingChange {
  readonly before: Uint8Array | undefined
}

export interface MemoryBackendOptions {
  /** Gives files their mtime; without it they have none. */
  readonly clock?: Clock
  readonly location?: string
  /** True unless told otherwise. */
  readonly listsConsistently?: boolean
}

export class MemoryBackend implements Backend {
  readonly location: string
  readonly listsConsistently: boolean
  /** Everything there is, by `<kind>/<name>`, for tests to look into, damage and add to. */
  readonly files = new Map<string, Uint8Array>()
  /** What interrupted saves have left, by any name. */
  readonly temporary = new Map<string, { readonly bytes: Uint8Array; readonly mtimeMs: number }>()
  readonly #clock: Clock | undefined
  readonly #mtimesMs = new Map<string, number>()
  #log: LoggedChange[] = []

  constructor(options: MemoryBackendOptions = {}) {
    this.location = options.location ?? 'memory'
    this.listsConsistently = options.listsConsistently ?? true
    this.#clock = options.clock
  }

  /** The changes that a power cut may undo, oldest first. */
  get pending(): readonly PendingChange[] {
    return this.#log
  }

  /**
   * Undoes changes made since the last flush, as a power cut may: those that `keep` does not keep,
   * and with each of them the later ones of the same file. By default all of them.
   */
  powerCut(keep: (change: PendingChange) => boolean = () => false): void {
    const lostPaths = new Set<string>()
    const lost = this.#log.filter((change) => {
      if (!lostPaths.has(change.path) && keep(change)) return false
      lostPaths.add(change.path)
      return true
    })
    for (const { path, before } of lost.reverse()) {
      if (before === undefined) this.files.delete(path)
      else this.files.set(path, before)
    }
    this.#log = []
  }

  /** Leaves `bytes` where saves keep what is not finished. It never gets a file's name. */
  leaveTemporary(name: string, bytes: Uint8Array): void {
    this.temporary.set(name, { bytes: Uint8Array.from(bytes), mtimeMs: this.#nowMs() ?? 0 })
  }

  async create({ signal }: OpOptions = {}): Promise<void> {
    throwIfAborted(signal)
  }

  async save(file: FileRef, bytes: Uint8Array, { signal }: OpOptions = {}): Promise<void> {
    throwIfAborted(signal)
    const path = pathOf(file)
    const before = this.files.get(path)
    if (before !== undefined) {
      if (before.byteLength === bytes.byteLength) return
      throw differentLengthError(file, this.location, {
        expected: bytes.byteLength,
        found: before.byteLength,
      })
    }
    this.files.set(path, Uint8Array.from(bytes))
    const nowMs = this.#nowMs()
    if (nowMs !== undefined) this.#mtimesMs.set(path, nowMs)
    this.#log.push({ verb: 'save', path, before })
  }

  async flush({ signal }: OpOptions = {}): Promise<void> {
    throwIfAborted(signal)
    this.#log = []
  }

  async load(
    file: FileRef,
    range?: ByteRange,
    { signal }: OpOptions = {},
  ): Promise<Uint8Array | undefined> {
    throwIfAborted(signal)
    const bytes = this.files.get(pathOf(file))
    if (bytes === undefined) return undefined
    const { offset, byteCount } = checkedRange(file, this.location, {
      range,
      fileByteCount: bytes.byteLength,
    })
    return bytes.slice(offset, offset + byteCount)
  }

  async list(
    kind: FileKind,
    { signal, onForeign }: OpOptions & { readonly onForeign?: (file: ForeignFile) => void } = {},
  ): Promise<FileInfo[]> {
    throwIfAborted(signal)
    const found: FileInfo[] = []
    for (const [path, bytes] of this.files) {
      if (!path.startsWith(`${kind}/`)) continue
      const name = path.slice(kind.length + 1)
      if (!isFileName(name)) {
        onForeign?.({ kind, path })
        continue
      }
      const mtimeMs = this.#mtimesMs.get(path)
      found.push({ name, byteCount: bytes.byteLength, ...(mtimeMs !== undefined && { mtimeMs }) })
    }
    return found
  }

  async remove(file: FileRef, { signal }: OpOptions = {}): Promise<void> {
    throwIfAborted(signal)
    const path = pathOf(file)
    const before = this.files.get(path)
    if (before === undefined) return
    this.files.delete(path)
    this.#log.push({ verb: 'remove', path, before })
  }

  async sweepTemporary(olderThanMs: number, { signal }: OpOptions = {}): Promise<number> {
    throwIfAborted(signal)
    const oldestMs = (this.#nowMs() ?? 0) - olderThanMs
    let removedCount = 0
    for (const [name, { mtimeMs }] of this.temporary) {
      if (mtimeMs >= oldestMs) continue
      this.temporary.delete(name)
      removedCount++
    }
    return removedCount
  }

  async close(): Promise<void> {
    // Nothing to release.
  }

  #nowMs(): number | undefined {
    return this.#clock === undefined ? undefined : wallMs(this.#clock)
  }
}

function pathOf(file: FileRef): string {
  return `${file.kind}/${file.name}`
}
