/** The files that are backed up: made, counted, read, copied and changed. */

import {
  chmodSync,
  closeSync,
  fstatSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  type Stats,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'

/** xorshift32: the same data and the same changes at every run. */
export function seeded(seed: number): (below: number) => number {
  let x = (Math.imul(seed, 0x9e3779b1) | 1) >>> 0
  return (below) => {
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    return (x >>> 0) % below
  }
}

/** A root and everything below it, parents first, names in order. */
export function* walk(root: string): Generator<{ readonly path: string; readonly stat: Stats }> {
  const stat = lstatSync(root)
  yield { path: root, stat }
  if (!stat.isDirectory()) return
  for (const name of readdirSync(root).sort()) yield* walk(join(root, name))
}

export interface DataSize {
  readonly fileCount: number
  readonly directoryCount: number
  /** Of regular files; one with several names counts once. */
  readonly byteCount: number
}

export function sizeOf(roots: readonly string[]): DataSize {
  const seen = new Set<string>()
  let [fileCount, directoryCount, byteCount] = [0, 0, 0]
  for (const root of roots) {
    for (const { stat } of walk(root)) {
      if (stat.isDirectory()) directoryCount++
      if (!stat.isFile()) continue
      fileCount++
      const key = `${stat.dev}:${stat.ino}`
      if (stat.nlink > 1 && seen.has(key)) continue
      if (stat.nlink > 1) seen.add(key)
      byteCount += stat.size
    }
  }
  return { fileCount, directoryCount, byteCount }
}

const buffer = new Uint8Array(1 << 20)

/** Reads every file to its end, so that the page cache holds what it can. */
export function readAll(roots: readonly string[]): void {
  for (const root of roots) {
    for (const { path, stat } of walk(root)) {
      if (!stat.isFile()) continue
      const descriptor = openSync(path, 'r')
      while (readSync(descriptor, buffer) > 0);
      closeSync(descriptor)
    }
  }
}

/**
 * Overwrites some bytes in the middle and adds some at the end of `share` of the files below
 * `root`: chosen by `seed`, at least one. Returns how many it changed.
 */
export function changeFiles(root: string, share: number, seed: number): number {
  const files = [...walk(root)].filter(({ stat }) => stat.isFile() && stat.size > 0)
  const random = seeded(seed)
  const count = Math.min(files.length, Math.max(1, Math.round(files.length * share)))
  for (let changed = 0; changed < count; changed++) {
    const at = changed + random(files.length - changed)
    const chosen = files[at]
    const first = files[changed]
    if (chosen === undefined || first === undefined) throw new Error('a file went missing')
    files[at] = first
    if ((chosen.stat.mode & 0o200) === 0) chmodSync(chosen.path, chosen.stat.mode | 0o200)
    const descriptor = openSync(chosen.path, 'r+')
    // Not the size from before: it may be another name of a file changed already.
    const { size } = fstatSync(descriptor)
    writeSync(descriptor, Buffer.from(`changed ${random(1e9)}`), 0, null, random(size))
    writeSync(descriptor, Buffer.from(`added ${random(1e9)}\n`.repeat(8)), 0, null, size)
    closeSync(descriptor)
  }
  return count
}

const WORDS = 'stone path snow ridge valley marker summit fog north descent rope'.split(' ')

/** A few dozen files of all the kinds that have to come back, for a run of seconds. */
export function makeTinyTree(root: string): void {
  const random = seeded(5)
  const text = (words: number) =>
    Array.from({ length: words }, () => WORDS[random(WORDS.length)]).join(' ')
  const noise = (byteCount: number) => Uint8Array.from({ length: byteCount }, () => random(256))
  for (let folder = 0; folder < 4; folder++) {
    const path = join(root, `folder ${folder}`, 'deep', 'deeper')
    mkdirSync(path, { recursive: true })
    for (let file = 0; file < 8; file++) {
      writeFileSync(join(path, `text-${file}.txt`), `${text(20 + random(20_000))}\n`)
    }
    writeFileSync(join(path, 'noise.bin'), noise(1000 + random(200_000)))
  }
  writeFileSync(join(root, 'large.bin'), noise(3 << 20))
  writeFileSync(join(root, 'empty'), '')
  writeFileSync(join(root, 'Übergröße ✓.txt'), text(100), { mode: 0o600 })
  linkSync(join(root, 'large.bin'), join(root, 'second name of large.bin'))
  symlinkSync('folder 0/deep', join(root, 'link'))
  symlinkSync('nowhere', join(root, 'dangling'))
  mkdirSync(join(root, 'empty folder'), { mode: 0o750 })
}
