/**
 * The packs an index knows, numbered from 0, and which of them count at the moment.
 *
 * Two index files may say different things about one pack: the same name with another length or
 * another directory. Who is right shows only when the pack is read, so both claims are kept, each
 * under a number of its own; a wrong one hides nothing.
 */

import { equalBytes } from '../../base/bytes.ts'
import { assert } from '../../base/errors.ts'
import { type FileName, idBytes } from '../../base/ids.ts'
import { type BlobLocation, type KnownPack, PACK_STATE, PackStates } from './blob-index.ts'

const STATES_MIN = 1 << 16

export class PackTable<Pack extends KnownPack = KnownPack> {
  readonly #packs: Pack[] = []
  readonly #numbers = new Map<FileName, number[]>()
  #states = PackStates.create(STATES_MIN)
  #tags = new Uint32Array(new SharedArrayBuffer(STATES_MIN * 4))
  #listed: ReadonlyMap<FileName, number> = new Map()
  #doomed: ReadonlySet<FileName> = new Set()

  get count(): number {
    return this.#packs.length
  }

  get states(): PackStates {
    return this.#states
  }

  /** The first 4 bytes of the name of each pack, in shared memory. */
  get tags(): Uint32Array<SharedArrayBuffer> {
    return this.#tags
  }

  /** Adds a pack under the next number. */
  push(pack: Pack): number {
    const number = this.#packs.length
    this.#packs.push(pack)
    const numbers = this.#numbers.get(pack.name)
    if (numbers === undefined) this.#numbers.set(pack.name, [number])
    else numbers.push(number)
    this.#grow()
    this.#states.set(number, this.#stateOf(pack))
    const name = idBytes(pack.name)
    this.#tags[number] = Buffer.from(name.buffer, name.byteOffset).readUInt32LE(0)
    return number
  }

  /** For what may change about a pack: whether it is verified. */
  replace(number: number, pack: Pack): void {
    this.#packs[number] = pack
  }

  get(number: number): Pack {
    const pack = this.#packs[number]
    assert(pack !== undefined, `pack number ${number} is one that the index gave out`)
    return pack
  }

  /** The numbers of all claims about a pack. */
  numbersOf(name: FileName): readonly number[] {
    return this.#numbers.get(name) ?? []
  }

  /** A verified claim before others, then one that counts, then the oldest. */
  bestNumberOf(name: FileName): number | undefined {
    const numbers = this.numbersOf(name)
    const counts = (number: number) => this.#states.get(number) !== PACK_STATE.gone
    return (
      numbers.find((number) => this.get(number).verified && counts(number)) ??
      numbers.find(counts) ??
      numbers[0]
    )
  }

  numbers(): Iterable<number> {
    return this.#packs.keys()
  }

  /** How many of the first `count` packs are not in the last listing; none if none was given. */
  goneCount(count: number): number {
    if (this.#listed.size === 0) return 0
    let goneCount = 0
    for (let number = 0; number < count; number++) {
      if (this.#states.get(number) === PACK_STATE.gone) goneCount++
    }
    return goneCount
  }

  setStates(listed: ReadonlyMap<FileName, number>, doomed: ReadonlySet<FileName>): void {
    this.#listed = listed
    this.#doomed = doomed
    for (const [number, pack] of this.#packs.entries()) {
      this.#states.set(number, this.#stateOf(pack))
    }
  }

  #stateOf(pack: KnownPack): number {
    if (this.#listed.get(pack.name) !== pack.byteCount) return PACK_STATE.gone
    return this.#doomed.has(pack.name) ? PACK_STATE.doomed : PACK_STATE.live
  }

  /** Makes room for the last pack. Who shares the old buffers keeps what they say now. */
  #grow(): void {
    const capacity = this.#tags.length
    if (this.#packs.length <= capacity) return
    const grown = PackStates.create(capacity * 2)
    for (let number = 0; number < capacity; number++) grown.set(number, this.#states.get(number))
    this.#states = grown
    const tags = new Uint32Array(new SharedArrayBuffer(capacity * 2 * 4))
    tags.set(this.#tags)
    this.#tags = tags
  }

  /** Leaves out what is in packs that are gone, and puts live copies before doomed ones. */
  order(locations: BlobLocation[]): BlobLocation[] {
    const of = (state: number) =>
      locations.filter((location) => this.#states.get(location.packNumber) === state)
    if (locations.length !== 1) return [...of(PACK_STATE.live), ...of(PACK_STATE.doomed)]
    const state = this.#states.get(locations[0]?.packNumber ?? -1)
    return state === PACK_STATE.gone ? [] : locations
  }
}

/** Whether two claims say the same about one pack. Being verified does not count. */
export function isSameClaim(
  a: Pick<KnownPack, 'byteCount' | 'author' | 'preamble'>,
  b: Pick<KnownPack, 'byteCount' | 'author' | 'preamble'>,
): boolean {
  return (
    a.byteCount === b.byteCount &&
    equalBytes(a.author, b.author) &&
    equalBytes(a.preamble, b.preamble)
  )
}
