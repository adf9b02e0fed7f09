/**
 * Whether a restored tree is the source again: names, types, contents, permission bits, owners (for
 * root), modification times, link targets, devices, and which names are one file. Extended attributes
 * are left out, which Node.js cannot read.
 */

import {
  type BigIntStats,
  closeSync,
  lstatSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
} from 'node:fs'
import { join } from 'node:path'

export interface SameTreeOptions {
  /** Modification times are compared in whole units of this. */
  readonly mtimeUnitNs: bigint
}

const one = Buffer.alloc(1 << 18)
const other = Buffer.alloc(1 << 18)

function typeOf(stat: BigIntStats): string {
  return ((stat.mode & 0o170000n) >> 12n).toString(8)
}

function readFully(descriptor: number, buffer: Buffer): number {
  let filled = 0
  while (filled < buffer.length) {
    const got = readSync(descriptor, buffer, filled, buffer.length - filled, null)
    if (got === 0) break
    filled += got
  }
  return filled
}

function haveSameContents(a: string, b: string): boolean {
  const descriptors = [openSync(a, 'r'), openSync(b, 'r')] as const
  try {
    for (;;) {
      const [got, wanted] = [readFully(descriptors[0], one), readFully(descriptors[1], other)]
      if (got !== wanted || !one.subarray(0, got).equals(other.subarray(0, got))) return false
      if (got === 0) return true
    }
  } finally {
    for (const descriptor of descriptors) closeSync(descriptor)
  }
}

class TreeComparison {
  readonly #mtimeUnitNs: bigint
  readonly #isRoot = process.geteuid?.() === 0
  /** The first name met of each file with several names, on both sides. */
  readonly #firstNames = [new Map<string, string>(), new Map<string, string>()] as const

  constructor({ mtimeUnitNs }: SameTreeOptions) {
    this.#mtimeUnitNs = mtimeUnitNs
  }

  #firstName(side: 0 | 1, stat: BigIntStats, name: string): string {
    const key = `${stat.dev}:${stat.ino}`
    const found = this.#firstNames[side].get(key)
    if (found === undefined) this.#firstNames[side].set(key, name)
    return found ?? name
  }

  /** What differs in the entry itself. */
  #differenceOf(source: string, restored: string): string | undefined {
    const a = lstatSync(source, { bigint: true })
    const b = lstatSync(restored, { bigint: true, throwIfNoEntry: false })
    if (b === undefined) return 'is missing'
    if (typeOf(a) !== typeOf(b)) return 'has another type'
    if (!a.isSymbolicLink() && (a.mode & 0o7777n) !== (b.mode & 0o7777n)) return 'has another mode'
    if (this.#isRoot && (a.uid !== b.uid || a.gid !== b.gid)) return 'has another owner'
    if (a.mtimeNs / this.#mtimeUnitNs !== b.mtimeNs / this.#mtimeUnitNs) {
      return `has another mtime: ${b.mtimeNs} instead of ${a.mtimeNs}`
    }
    if (a.isSymbolicLink() && readlinkSync(source) !== readlinkSync(restored)) {
      return 'points elsewhere'
    }
    if ((a.isBlockDevice() || a.isCharacterDevice()) && a.rdev !== b.rdev) {
      return 'is another device'
    }
    if (!a.isFile()) return undefined
    const firstNames = [this.#firstName(0, a, source), this.#firstName(1, b, source)]
    if (firstNames[0] !== firstNames[1]) return 'is a link to another file'
    if (firstNames[0] !== source) return undefined
    if (a.size !== b.size) return `has ${b.size} bytes instead of ${a.size}`
    return haveSameContents(source, restored) ? undefined : 'has other contents'
  }

  compare(source: string, restored: string): string | undefined {
    const difference = this.#differenceOf(source, restored)
    if (difference !== undefined) return `'${source}' ${difference}`
    if (!lstatSync(source).isDirectory()) return undefined
    const names = new Set(readdirSync(source))
    const surplus = readdirSync(restored).find((name) => !names.has(name))
    if (surplus !== undefined) return `'${join(source, surplus)}' was never there`
    for (const name of names) {
      const found = this.compare(join(source, name), join(restored, name))
      if (found !== undefined) return found
    }
    return undefined
  }
}

/**
 * The first difference between each source and what lies at `target/<its absolute path>`, in words,
 * or undefined.
 */
export function firstDifference(
  sources: readonly string[],
  target: string,
  options: SameTreeOptions,
): string | undefined {
  const comparison = new TreeComparison(options)
  for (const source of sources) {
    const found = comparison.compare(source, join(target, source))
    if (found !== undefined) return found
  }
  return undefined
}
