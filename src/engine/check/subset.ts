/** Which packs `--read-data` and `--read-data-subset` read. */

import { type FileName, idBytes } from '../../base/ids.ts'
import type { Randomness } from '../../base/seams.ts'

/** All, group `part` of `parts`, or so many at random. */
export type DataSubset =
  | { readonly kind: 'all' }
  | { readonly kind: 'part'; readonly part: number; readonly parts: number }
  | { readonly kind: 'percent'; readonly percent: number }
  | { readonly kind: 'bytes'; readonly byteCount: number }

export interface PackFileInfo {
  readonly name: FileName
  readonly byteCount: number
}

/** The group of a pack, from 1 to `parts` (at most 256): by its name, so the same every time. */
export function packGroup(name: FileName, parts: number): number {
  return ((idBytes(name)[0] ?? 0) % parts) + 1
}

export function choosePacks<Pack extends PackFileInfo>(
  packs: readonly Pack[],
  subset: DataSubset,
  random: Randomness,
): Pack[] {
  switch (subset.kind) {
    case 'all':
      return [...packs]
    case 'part':
      return packs.filter(({ name }) => packGroup(name, subset.parts) === subset.part)
    case 'percent': {
      const total = packs.reduce((sum, { byteCount }) => sum + byteCount, 0)
      return chooseBytes(packs, (total * subset.percent) / 100, random)
    }
    default:
      return chooseBytes(packs, subset.byteCount, random)
  }
}

/** Random packs until they have `byteCountMin` bytes together: at least one, if there is any. */
function chooseBytes<Pack extends PackFileInfo>(
  packs: readonly Pack[],
  byteCountMin: number,
  random: Randomness,
): Pack[] {
  const chosen: Pack[] = []
  let byteCount = 0
  for (const pack of shuffled(packs, random)) {
    if (chosen.length > 0 && byteCount >= byteCountMin) break
    chosen.push(pack)
    byteCount += pack.byteCount
  }
  return chosen
}

/** Fisher and Yates; 32 random bits against at most a few million packs leave no bias to speak of. */
function shuffled<T>(items: readonly T[], random: Randomness): T[] {
  const order = [...items]
  for (let last = order.length - 1; last > 0; last--) {
    const number = Buffer.from(random.bytes(4)).readUInt32LE(0)
    const other = number % (last + 1)
    const [a, b] = [order[last], order[other]]
    if (a === undefined || b === undefined) continue
    order[last] = b
    order[other] = a
  }
  return order
}
