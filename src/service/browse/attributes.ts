/** What `stat` shows of entries of a snapshot. */

import { MODE_TYPE } from '../../base/mode-type.ts'
import { ENTRY_TYPE, type TreeEntry } from '../../format/tree.ts'

type TypeName = keyof typeof ENTRY_TYPE

const MODE_TYPES: ReadonlyMap<number, number> = new Map(
  Object.entries(ENTRY_TYPE).map(([name, type]) => [type, MODE_TYPE[name as TypeName]]),
)

/** The type bits of its mode; undefined for a type that a newer program wrote. */
export function modeType({ type }: Pick<TreeEntry, 'type'>): number | undefined {
  return MODE_TYPES.get(type)
}

/** As Linux packs it into 32 bits: 12 bits of major number, 20 of minor. */
export function deviceNumber(device: TreeEntry['device']): number {
  if (device === undefined) return 0
  const { major, minor } = device
  return ((minor & 0xff) | ((major & 0xfff) << 8) | ((minor & 0xfff00) << 12)) >>> 0
}

const TWO_POW_21 = 2 ** 21

/**
 * A number of 52 bits for a name in a directory: two multiplicative hashes with different factors,
 * mixed at the end. Two in one tree of ten million files share one with a chance of one in 90.
 */
export function inodeOf(parent: number, name: string): number {
  let a = (parent ^ 0x9e37_79b9) | 0
  let b = (Math.floor(parent / TWO_POW_21) ^ 0x85eb_ca6b) | 0
  for (let i = 0; i < name.length; i++) {
    const byte = name.charCodeAt(i)
    a = Math.imul(a ^ byte, 0x0100_0193)
    b = Math.imul(b ^ byte, 0x5bd1_e995) ^ (b >>> 15)
  }
  a = Math.imul(a ^ (a >>> 16), 0xc2b2_ae35)
  b = Math.imul(b ^ (b >>> 13), 0x27d4_eb2f)
  const high = (a ^ (a >>> 15)) & 0x0f_ffff
  const low = (b ^ (b >>> 16) ^ a) >>> 0
  // 0 is no inode number, and 1 belongs to nobody's file.
  return high * 2 ** 32 + low + 2
}
