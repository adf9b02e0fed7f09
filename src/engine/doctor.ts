/** What a machine offers, judged by what cairn needs of it. */

import type { NativePart } from '../pipeline/native-parts.ts'
import type { DirectoryProbe, FuseProbe } from '../source/probe-directory.ts'

export { nativeParts } from '../pipeline/native-parts.ts'

/** `note`: something works less well, or not at all, without it. `problem`: cairn cannot work. */
export type Verdict = 'ok' | 'note' | 'problem'

export interface Check {
  readonly name: string
  readonly verdict: Verdict
  /** What was found. */
  readonly found: string
  /** What follows and what to do; empty where all is well. */
  readonly advice: string
}

/** What is known of the machine. */
export interface Machine {
  readonly nodeVersion: string
  readonly parts: readonly NativePart[]
  readonly hasLibc: boolean
  readonly fuse: FuseProbe
  readonly isRoot: boolean
  /** Cores that the process may use, of those that there are. */
  readonly usableCores: number
  readonly cores: number
  readonly memoryBytes: number
  readonly nowMs: number
  readonly cache: { readonly path: string; readonly isUsable: boolean }
  readonly directory: { readonly path: string; readonly probe: DirectoryProbe | string }
}

const MEBIBYTE = 1 << 20
const FREE_BYTES_MIN = 1024 * MEBIBYTE
const MEMORY_BYTES_MIN = 512 * MEBIBYTE
/** When this was written: no clock that is right is before it. */
const CLOCK_MS_MIN = Date.UTC(2026, 0, 1)
const CLOCK_SKEW_MS_MAX = 5000

function check(name: string, found: string, trouble?: Verdict | false, advice = ''): Check {
  return { name, found, verdict: trouble || 'ok', advice: trouble ? advice : '' }
}

function checkNode(version: string): Check {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const isNew = major >= 24 || (major === 22 && minor >= 15) || (major === 20 && minor >= 19)
  return check(
    'node',
    version,
    !isNew && 'problem',
    'use Node.js 20.19, 22.15 or 24, or a later one of these',
  )
}

function checkPart({ name, implementation, isFallback }: NativePart): Check {
  if (implementation === undefined) {
    const advice =
      'use Node.js 22.15 or later, or install a C++ compiler and run npm rebuild zstd-napi'
    return check(name, 'missing', 'problem', advice)
  }
  return check(
    name,
    implementation,
    isFallback && 'note',
    'a slower fallback; reinstall with optional packages',
  )
}

function checkFuse({ fuse, isRoot }: Machine): Check {
  const found = !fuse.hasDevice
    ? 'no /dev/fuse'
    : fuse.hasHelper || isRoot
      ? 'available'
      : 'no fusermount3'
  return check(
    'fuse',
    found,
    found !== 'available' && 'note',
    'needed only to mount; install fuse3',
  )
}

function checkClock({ nowMs, directory }: Machine): Check {
  const time = new Date(nowMs).toISOString()
  const { probe } = directory
  if (nowMs < CLOCK_MS_MIN) {
    return check('clock', time, 'problem', 'it is in the past: snapshots would be dated wrongly')
  }
  const skewMs = typeof probe === 'string' ? 0 : Math.round(probe.writtenMs - nowMs)
  const isSkewed = Math.abs(skewMs) > CLOCK_SKEW_MS_MAX
  return check(
    'clock',
    isSkewed ? `${time}, file times ${skewMs} ms off` : time,
    isSkewed && 'note',
    'the clocks of this machine and of that directory disagree; set both by NTP',
  )
}

function checkDirectory({ path, probe }: Machine['directory'], sizeOf: (bytes: number) => string) {
  if (typeof probe === 'string') {
    return [check('directory', path, 'problem', `nothing can be written there: ${probe}`)]
  }
  const { freeBytes, hasUnnamedFiles, hasXattrs } = probe
  const xattrs = hasXattrs === undefined ? 'unknown' : hasXattrs ? 'available' : 'not there'
  return [
    check('directory', path),
    check(
      'free space',
      sizeOf(freeBytes),
      freeBytes < FREE_BYTES_MIN && 'note',
      'less than 1 GiB is left there',
    ),
    check(
      'unnamed files',
      hasUnnamedFiles ? 'available' : 'not there',
      !hasUnnamedFiles && 'note',
      'a restore there that is killed may leave temporary files',
    ),
    check(
      'extended attributes',
      xattrs,
      hasXattrs !== true && 'note',
      'files restored there may lack theirs',
    ),
  ]
}

/** `sizeOf` shows bytes to people. */
export function examine(machine: Machine, sizeOf: (bytes: number) => string): Check[] {
  const { usableCores, cores, memoryBytes, cache } = machine
  const coreText = usableCores === cores ? `${cores}` : `${usableCores} of ${cores} may be used`
  return [
    checkNode(machine.nodeVersion),
    ...machine.parts.map(checkPart),
    check(
      'libc',
      machine.hasLibc ? 'available' : 'missing',
      !machine.hasLibc && 'note',
      'koffi could not be loaded: times are restored to the microsecond, devices and FIFOs not at all',
    ),
    checkFuse(machine),
    check('cores', coreText),
    check(
      'memory',
      sizeOf(memoryBytes),
      memoryBytes < MEMORY_BYTES_MIN && 'note',
      'less than 512 MiB; use --jobs 1',
    ),
    checkClock(machine),
    check(
      'cache',
      cache.path,
      !cache.isUsable && 'note',
      'it cannot be written: every backup reads all files; use --cache-dir',
    ),
    ...checkDirectory(machine.directory, sizeOf),
  ]
}
