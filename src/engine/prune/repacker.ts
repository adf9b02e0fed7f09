/** Reads, opens and seals blobs of packs in worker threads: for `prune`, `repair packs` and `copy`. */

import { CairnError, throwIfAborted } from '../../base/errors.ts'
import { type FileName, idBytes } from '../../base/ids.ts'
import type { IndexedPack } from '../../format/index-file.ts'
import type { IndexShare } from '../../pipeline/index/blob-index.ts'
import type {
  RepackInit,
  RepackNote,
  RepackReply,
  RepackResult,
} from '../../pipeline/repack-body.ts'
import { openPool, type WorkPool } from '../../pipeline/work-pool.ts'
import { PackStore } from '../../repository/pack-store.ts'
import type { Repository } from '../../repository/repository.ts'
import { type Environment, workEnvironment } from '../environment.ts'

/** Below this, starting threads takes longer than the work. */
const INLINE_BYTES_MAX = 16 << 20
/** Packs on the way for each worker: one is read while another is worked on. */
const PACKS_AHEAD = 1

export interface RepackItem {
  readonly claim: IndexedPack
  /** One byte for each blob: 1 if it is wanted. */
  readonly wanted: Uint8Array
}

/** `verify`: reads wanted blobs. `check`: reads the whole file as well and compares it with its name. */
export type RepackWork = 'copy' | 'verify' | 'check'

export interface RepackerOptions {
  readonly environment: Environment
  readonly repository: Repository
  /** Another repository, to copy into, and what it has: by default it is `repository`. */
  readonly target?: { readonly repository: Repository; readonly there: IndexShare }
  readonly level: number | undefined
  readonly verify: boolean
  readonly packBytes?: number
  readonly signal?: AbortSignal | undefined
  /** What the work is about, to choose how to do it. */
  readonly byteCount: number
  readonly blobBytesMax: number
  /** Told of packs that are durable and named by an index file. */
  readonly onIndexed?: (packs: readonly IndexedPack[]) => Promise<void>
}

export class Repacker {
  readonly #options: RepackerOptions
  readonly #pool: WorkPool<'repack'>
  readonly #store: PackStore

  private constructor(options: RepackerOptions, pool: WorkPool<'repack'>, store: PackStore) {
    this.#options = options
    this.#pool = pool
    this.#store = store
  }

  static async open(options: RepackerOptions): Promise<Repacker> {
    const { environment, signal, onIndexed } = options
    const store = new PackStore({
      repository: options.target?.repository ?? options.repository,
      signal,
      onSaved: ({ buffer, worker }) => {
        const reply: RepackReply = { kind: 'buffer', buffer }
        if (worker !== undefined) pool.send(reply, worker, [buffer])
      },
      onIndexed: async (packs) => await onIndexed?.(packs),
    })
    const pool: WorkPool<'repack'> = await openPool({
      purpose: 'repack',
      init: initOf(options),
      threads: options.byteCount <= INLINE_BYTES_MAX ? 0 : environment.threads,
      environment: workEnvironment(environment),
      entry: environment.workerEntry,
      onNote: (note, worker) => store.take((note as RepackNote).pack, worker),
    })
    return new Repacker(options, pool, store)
  }

  get bytesWritten(): number {
    return this.#store.storedBytes.data + this.#store.storedBytes.metadata
  }

  /**
   * Does this with each item, several at a time: copies its wanted blobs, or only reads them. `onDone`
   * is told how it went, in no order.
   */
  async each(
    work: RepackWork,
    items: readonly RepackItem[],
    onDone: (item: RepackItem, result: RepackResult) => void,
  ): Promise<void> {
    let next = 0
    const loop = async () => {
      for (let item = items[next++]; item !== undefined; item = items[next++]) {
        throwIfAborted(this.#options.signal)
        await this.#store.ready()
        onDone(item, await this.#run(work, item))
        await this.#options.environment.yield()
      }
    }
    const loops = Math.min(items.length, this.#pool.size + PACKS_AHEAD)
    await Promise.all(Array.from({ length: loops }, loop))
  }

  async #run(work: RepackWork, { claim, wanted }: RepackItem): Promise<RepackResult> {
    const { repository } = this.#options
    const file = { kind: 'packs' as const, name: claim.name }
    const job = {
      kind: work === 'copy' ? ('copy' as const) : ('verify' as const),
      ...(work === 'check' ? { name: idBytes(claim.name) } : {}),
      key: repository.packKey(claim.preamble),
      directory: claim.directory.bytes,
      wanted,
    }
    const path = repository.backend.localPath?.(file)
    if (path !== undefined) {
      const result = await this.#pool.run({ ...job, source: { path } })
      if (isSound(result)) return result
    }
    // What is wrong may be the way here: the storage is asked, which also says what an error means.
    const bytes = await this.#load(claim.name)
    return await this.#pool.run({ ...job, source: { bytes } }, { transfer: [bytes.buffer] })
  }

  async #load(name: FileName): Promise<Uint8Array<ArrayBuffer>> {
    const { repository, signal } = this.#options
    const operation = { signal }
    const bytes = await repository.backend.load({ kind: 'packs', name }, undefined, operation)
    if (bytes === undefined) {
      throw new CairnError('CAIRN_CONFLICT', `pack ${name} vanished; run this again`)
    }
    const isWhole =
      bytes.byteLength === bytes.buffer.byteLength && bytes.buffer instanceof ArrayBuffer
    return isWhole ? (bytes as Uint8Array<ArrayBuffer>) : Uint8Array.from(bytes)
  }

  /** Returns once all that was copied is durable and named by a durable index file. */
  async finish(): Promise<void> {
    const jobs = Array.from({ length: this.#pool.size }, (_, worker) =>
      this.#pool.run({ kind: 'finish' }, { worker }),
    )
    await Promise.all(jobs)
    await this.#store.finish()
  }

  async close(): Promise<void> {
    await this.#pool.close()
  }
}

function isSound({ unreadable, problems, damaged }: RepackResult): boolean {
  return unreadable === undefined && problems.length === 0 && damaged.length === 0
}

function initOf(options: RepackerOptions): RepackInit {
  const { target, level, verify, packBytes, blobBytesMax } = options
  const repository = target?.repository ?? options.repository
  const { box } = repository
  const { data, metadata } = options.repository.keyring.ids
  return {
    keys: repository.writeKeys,
    writer: { padding: box.padding, level, verify, blobBytesMax },
    packBytesTargets: { data: packBytes ?? box.dataPackBytes, metadata: box.metadataPackBytes },
    control: new SharedArrayBuffer(4),
    ...(target === undefined
      ? {}
      : { foreign: { idKeys: { data, metadata }, there: target.there } }),
  }
}

/** The longest blob that these packs hold. */
export function longestBlob(items: readonly RepackItem[]): number {
  let longest = 1
  for (const { claim } of items) {
    for (let blob = 0; blob < claim.directory.blobCount; blob++) {
      longest = Math.max(longest, claim.directory.length(blob))
    }
  }
  return longest
}
