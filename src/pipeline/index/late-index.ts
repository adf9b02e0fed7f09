/**
 * The index of a repository that has no blobs yet: nothing is opened, and no code for it loaded,
 * before there is something to put in. Most first backups end before that.
 */

import { BugError } from '../../base/errors.ts'
import type { FileName } from '../../base/ids.ts'
import type { IndexedPack } from '../../format/index-file.ts'
import type { BlobIndex, BlobLocation, IndexShare, KnownPack } from './blob-index.ts'

export class LateIndex implements BlobIndex {
  readonly #open: () => Promise<BlobIndex>
  #opening: Promise<BlobIndex> | undefined
  #index: BlobIndex | undefined
  #states: Parameters<BlobIndex['setStates']> | undefined

  /** `open` is called once, before the first packs are added. */
  constructor(open: () => Promise<BlobIndex>) {
    this.#open = open
  }

  get implementation(): BlobIndex['implementation'] {
    return this.#index?.implementation ?? 'memory'
  }

  find(id: Uint8Array): BlobLocation[] {
    return this.#index?.find(id) ?? []
  }

  pack(packNumber: number): KnownPack {
    if (this.#index === undefined) throw new BugError('an empty index has no packs')
    return this.#index.pack(packNumber)
  }

  packNumberOf(name: FileName): number | undefined {
    return this.#index?.packNumberOf(name)
  }

  packNumbers(): Iterable<number> {
    return this.#index?.packNumbers() ?? []
  }

  async add(packs: readonly IndexedPack[]): Promise<void> {
    this.#opening ??= this.#openNow()
    await (await this.#opening).add(packs)
  }

  async #openNow(): Promise<BlobIndex> {
    const index = await this.#open()
    if (this.#states !== undefined) index.setStates(...this.#states)
    this.#index = index
    return index
  }

  setStates(listed: ReadonlyMap<FileName, number>, doomed: ReadonlySet<FileName>): void {
    this.#states = [listed, doomed]
    this.#index?.setStates(listed, doomed)
  }

  share(): IndexShare {
    return this.#index?.share() ?? { kind: 'empty' }
  }

  async close(): Promise<void> {
    await (await this.#opening?.catch(() => undefined))?.close()
  }
}
