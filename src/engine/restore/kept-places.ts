/**
 * Places in the target that a restore neither removes nor writes to: the repository that it reads may
 * lie there, left out of its own backups, so that `--delete` would find it unwanted.
 */

import type { ByteString } from '../../base/bytes.ts'
import { isWithin } from '../../base/paths.ts'

export class KeptPlaces {
  readonly #places: readonly ByteString[]

  /** Paths below the target, without a leading slash. */
  constructor(places: readonly ByteString[] = []) {
    this.#places = places.map((place) => `/${place}`)
  }

  /** Whether something there would lie at or in one of them. */
  holds(path: ByteString): boolean {
    return this.#places.some((place) => isWithin(`/${path}`, place))
  }

  /** Whether one of them lies there or below, and would go with it. */
  isIn(path: ByteString): boolean {
    return this.#places.some((place) => isWithin(place, `/${path}`))
  }
}
