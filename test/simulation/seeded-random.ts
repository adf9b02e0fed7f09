/** Seeded chance (sfc32): one seed, one sequence, on every machine. */

import { createHash } from 'node:crypto'
import type { Randomness } from '../../src/base/seams.ts'

export class SeededRandom implements Randomness {
  #a: number
  #b: number
  #c: number
  #counter = 1

  private constructor(a: number, b: number, c: number) {
    this.#a = a
    this.#b = b
    this.#c = c
  }

  /** The same parts, the same sequence; other parts, an unrelated one. */
  static of(...parts: readonly (string | number)[]): SeededRandom {
    const digest = createHash('sha256').update(parts.join('\0')).digest()
    return new SeededRandom(digest.readInt32LE(0), digest.readInt32LE(4), digest.readInt32LE(8))
  }

  /** Another one that will give the same numbers from here on, as the memory of a cloned machine. */
  clone(): SeededRandom {
    const copy = new SeededRandom(this.#a, this.#b, this.#c)
    copy.#counter = this.#counter
    return copy
  }

  /** 0 to 2^32 - 1. */
  uint32(): number {
    const sum = (((this.#a + this.#b) | 0) + this.#counter) | 0
    this.#counter = (this.#counter + 1) | 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) | 0
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0
    return sum >>> 0
  }

  /** From 0 up to 1. */
  next(): number {
    return this.uint32() / 2 ** 32
  }

  /** A whole number from `low` to `high`, both included. */
  between(low: number, high: number): number {
    return low + Math.floor(this.next() * (high - low + 1))
  }

  chance(probability: number): boolean {
    return this.next() < probability
  }

  pick<T>(from: readonly T[]): T {
    const picked = from[Math.floor(this.next() * from.length)]
    if (picked === undefined) throw new RangeError('there is nothing to pick from')
    return picked
  }

  /** One of the entries, as often as its weight says. */
  weighted<T>(entries: readonly (readonly [weight: number, value: T])[]): T {
    const total = entries.reduce((sum, [weight]) => sum + weight, 0)
    let at = this.next() * total
    for (const [weight, value] of entries) {
      at -= weight
      if (at < 0) return value
    }
    return this.pick(entries)[1]
  }

  /** A number whose logarithm is spread evenly from `low` to `high`: all magnitudes, often. */
  spread(low: number, high: number): number {
    return low * (high / low) ** this.next()
  }

  bytes(byteCount: number): Uint8Array {
    const bytes = new Uint8Array(byteCount)
    for (let at = 0; at < byteCount; at += 4) {
      const word = this.uint32()
      for (let i = 0; i < 4 && at + i < byteCount; i++) bytes[at + i] = word >>> (8 * i)
    }
    return bytes
  }
}
