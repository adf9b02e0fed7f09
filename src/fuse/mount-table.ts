/** What is mounted, as /proc/self/mountinfo has it. */

import { readFileSync } from 'node:fs'

export interface MountLine {
  /** As bytes, a character for each. */
  readonly path: string
  /** `major:minor`. */
  readonly device: string
  readonly type: string
}

/** What is mounted for this process, in the order it was mounted. Nothing where /proc is not. */
export function listMounts(): MountLine[] {
  let text: string
  try {
    text = readFileSync('/proc/self/mountinfo', 'latin1')
  } catch {
    return []
  }
  return text.split('\n').flatMap((line) => {
    // proc(5): id, parent, major:minor, root, mountpoint, options, optional fields, '-', type, ...
    const fields = line.split(' ')
    const dash = fields.indexOf('-')
    if (dash < 0) return []
    return [{ path: unescape(fields[4]), device: fields[2] ?? '', type: fields[dash + 1] ?? '' }]
  })
}

/** Blanks, tabs, line ends and backslashes stand there as octal numbers. */
function unescape(path = ''): string {
  return path.replace(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  )
}

/** The topmost mount at a path. */
export function findMount(mountpoint: string): MountLine | undefined {
  const bytes = Buffer.from(mountpoint).toString('latin1')
  return listMounts().findLast(({ path }) => path === bytes)
}

/** The device numbers, as `stat` shows them, of all mounts of a type. */
export function devicesOfType(type: string): bigint[] {
  return listMounts()
    .filter((line) => line.type === type)
    .map(({ device }) => {
      const [major = 0n, minor = 0n] = device.split(':').map(BigInt)
      // As the kernel packs them for stat(2).
      return ((major & 0xfffn) << 8n) | (minor & 0xffn) | ((minor & ~0xffn) << 12n)
    })
}
