/**
 * Which average chunk size should be the default? Cuts several versions of four kinds of data at
 * 128 KiB to 1 MiB, and prints what would be stored after deduplication and zstd, what the chunks
 * cost in metadata, and how fast the cutting is. Needs no network; takes about a minute and 1.5 GB
 * of temporary space. Data comes from this machine's /usr, so figures differ between machines.
 *
 *   node chunk-size.js [scale]    scale: 1 (default), or less for a quick run
 */

import { execFileSync } from 'node:child_process'
import {
  closeSync,
  copyFileSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { Chunker } from '../src/chunker/chunker.ts'
import { createChunker, gearTableFrom } from '../src/chunker/create-chunker.ts'
import { loadZstd } from '../src/compression/zstd.ts'
import { loadBlake3 } from '../src/crypto/blake3.ts'
import { keyStream } from '../src/crypto/derive.ts'
import { seeded } from './compare/data.ts'

const KIB = 1024
const MIB = 1024 * KIB

const AVERAGES = [128 * KIB, 256 * KIB, 512 * KIB, MIB]
const MIN_SHARE = 1 / 4
const MAX_FACTOR = 8
/** One row in an index file and in LevelDB per stored chunk, and its share of a segment's table. */
const METADATA_BYTES_PER_CHUNK = 73
const SEGMENT_BYTES = MIB
const ZSTD_LEVEL = 3

const scale = Number(process.argv[2] ?? 1)
const work = mkdtempSync(join(tmpdir(), 'cairn-chunk-size-'))

// ---- Data ---------------------------------------------------------------------------------------

/** Versions of the same thing, each a list of files: paths on disk, or bytes. */
interface DataSet {
  readonly name: string
  readonly versions: readonly (readonly (string | Uint8Array)[])[]
}

/** Regular files below `root`, up to `byteCountMax` in total and `fileBytesMax` each. */
function filesBelow(root: string, byteCountMax: number, fileBytesMax: number): string[] {
  const found: string[] = []
  let byteCount = 0
  const visit = (folder: string): void => {
    for (const name of readdirSync(folder).sort()) {
      const path = join(folder, name)
      const stat = lstatSync(path)
      if (stat.isDirectory()) visit(path)
      else if (stat.isFile() && stat.size <= fileBytesMax && byteCount + stat.size < byteCountMax) {
        found.push(path)
        byteCount += stat.size
      }
    }
  }
  try {
    visit(root)
  } catch {
    // Not there, or not readable: what was found so far will do.
  }
  return found
}

/** As an editor or a program leaves a file: a few places changed, lines inserted, or appended to. */
function edited(bytes: Uint8Array, random: (below: number) => number): Uint8Array {
  const parts: Uint8Array[] = []
  let at = 0
  for (let edits = 1 + random(3); edits > 0; edits--) {
    const next = at + random(Math.max(1, bytes.length - at))
    parts.push(bytes.subarray(at, next), Buffer.from(`edit ${random(1e9)} `.repeat(1 + random(5))))
    at = Math.min(bytes.length, next + random(60))
  }
  parts.push(bytes.subarray(at))
  return new Uint8Array(Buffer.concat(parts))
}

/** An ext4 image; then, twice, files replaced through the file system and blocks written in place. */
function virtualMachine(): DataSet | undefined {
  const name = 'VM image (ext4), 3 versions'
  const tree = join(work, 'vm-tree')
  const image = (version: number) => join(work, `vm-${version}.img`)
  const files = [
    ...filesBelow('/usr/lib/x86_64-linux-gnu', 130 * MIB * scale, 12 * MIB),
    ...filesBelow('/usr/share/doc', 30 * MIB * scale, MIB),
    ...filesBelow('/usr/lib/python3.11', 40 * MIB * scale, MIB),
  ].filter((path) => /^[\w./+-]+$/.test(path))
  for (const path of files) {
    mkdirSync(dirname(tree + path), { recursive: true })
    copyFileSync(path, tree + path)
  }
  try {
    const sizeMiB = Math.ceil(280 * scale) + 16
    execFileSync('mke2fs', ['-q', '-F', '-t', 'ext4', '-d', tree, image(1), `${sizeMiB}M`], {
      stdio: 'ignore',
    })
    const random = seeded(1)
    for (const version of [2, 3]) {
      copyFileSync(image(version - 1), image(version))
      const script: string[] = []
      for (let i = 0; i < files.length / 50; i++) {
        const path = files[random(files.length)] ?? ''
        const source = join(work, `vm-edit-${version}-${i}`)
        writeFileSync(source, edited(readFileSync(path), random))
        script.push(`rm ${path}`, `write ${source} ${path}`)
      }
      writeFileSync(join(work, 'script'), `${script.join('\n')}\n`)
      execFileSync('debugfs', ['-w', '-f', join(work, 'script'), image(version)], {
        stdio: 'ignore',
      })
      // A database and a journal inside the guest: 4 KiB blocks, half of them in a few hot places.
      const fd = openSync(image(version), 'r+')
      const blocks = statSync(image(version)).size / 4096
      for (let i = 0; i < 400 * scale; i++) {
        const block = i % 2 === 0 ? random(blocks) : Math.floor(blocks / 3) + random(500)
        const content = Buffer.from(`block ${random(1e9)} `.repeat(400)).subarray(0, 4096)
        writeSync(fd, content, 0, 4096, block * 4096)
      }
      closeSync(fd)
    }
  } catch (error) {
    console.log(`left out: ${name}: ${error instanceof Error ? error.message.split('\n')[0] : ''}`)
    return undefined
  }
  return { name, versions: [[image(1)], [image(2)], [image(3)]] }
}

/** A dump of a table of orders; in the next, 1 % of rows are changed, inserted or deleted. */
function dump(where: 'spread' | 'recent'): DataSet {
  const rowCount = Math.floor(700_000 * scale)
  const words = readFileSync('/usr/include/stdio.h', 'latin1').match(/[a-z]{3,}/g) ?? ['word']
  const random = seeded(2)
  const row = (id: number) =>
    `INSERT INTO orders VALUES (${id},${random(90_000)},'2026-${1 + random(12)}-${1 + random(28)}',` +
    `${random(1e6) / 100},'${Array.from({ length: 6 + random(10) }, () => words[random(words.length)]).join(' ')}');\n`
  let rows = Array.from({ length: rowCount }, (_, id) => row(id))
  const text = () => new Uint8Array(Buffer.from(`-- dump\n${rows.join('')}`, 'latin1'))
  const versions = [[text()]]
  for (let version = 0; version < 2; version++) {
    const next = [...rows]
    for (let i = 0; i < rowCount / 100; i++) {
      // Recent: nine of ten changes hit the last twentieth of the table.
      const hot = where === 'recent' && random(10) > 0
      const at = hot ? next.length - 1 - random(Math.ceil(rowCount / 20)) : random(next.length)
      const kind = random(3)
      next.splice(at, kind === 0 ? 0 : 1, ...(kind === 2 && random(2) === 0 ? [] : [row(at)]))
    }
    rows = next
    versions.push([text()])
  }
  return { name: `SQL dump, 1 % ${where}, 3 versions`, versions }
}

/** Versions of a source tree, in each 3 % of its files edited and a few added. */
function sourceHistory(as: 'stream' | 'files'): DataSet {
  const random = seeded(3)
  let files = filesBelow('/usr/include', 45 * MIB * scale, MIB).map(
    (path): { readonly path: string; readonly bytes: Uint8Array } => ({
      path,
      bytes: new Uint8Array(readFileSync(path)),
    }),
  )
  const versions: Uint8Array[][] = []
  for (let version = 0; version < 8; version++) {
    if (version > 0) {
      files = files.map((file) =>
        random(100) < 3 ? { ...file, bytes: edited(file.bytes, random) } : file,
      )
      const model = files[random(files.length)] ?? { path: 'x', bytes: new Uint8Array(9) }
      files.splice(random(files.length), 0, { ...model, bytes: edited(model.bytes, random) })
    }
    // As in a tar archive: a header block with a name, contents padded to blocks of 512.
    const padded = files.flatMap(({ path, bytes }) => {
      const header = Buffer.alloc(512)
      header.write(`${path} ${bytes.length}`, 'latin1')
      return [header, bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)]
    })
    versions.push(
      as === 'files' ? files.map(({ bytes }) => bytes) : [new Uint8Array(Buffer.concat(padded))],
    )
  }
  return { name: `source history, 8 versions, ${as}`, versions }
}

/** /usr/share as somebody's files: edited, appended to (logs, mail), and written in place. */
function home(): DataSet {
  const random = seeded(4)
  const paths = filesBelow('/usr/share', 420 * MIB * scale, 60 * MIB)
  const versions: (string | Uint8Array)[][] = [paths]
  for (let version = 1; version < 3; version++) {
    versions.push(
      (versions[version - 1] ?? []).map((file) => {
        const byteCount = typeof file === 'string' ? statSync(file).size : file.length
        // Large files are the databases, mailboxes and images: they change more often.
        if (random(1000) >= (byteCount > 512 * KIB ? 60 : 8)) return file
        const bytes = typeof file === 'string' ? new Uint8Array(readFileSync(file)) : file
        return edited(bytes, random)
      }),
    )
  }
  return { name: 'home-like tree, 3 versions', versions }
}

// ---- Measuring ----------------------------------------------------------------------------------

interface Result {
  chunkCount: number
  storedChunkCount: number
  inputBytes: number
  uniqueBytes: number
  storedBytes: number
  cutMs: number
}

const arenaBytes = 32 * MIB
const table = gearTableFrom(keyStream(new Uint8Array(32).fill(7), 'gear32', 1024))
const hash = loadBlake3().keyed(new Uint8Array(32).fill(9))
const zstd = loadZstd()
const segment = new Uint8Array(16 * MIB)
const compressed = new Uint8Array(zstd.compressBound(segment.length))

function measure(dataSet: DataSet, averageBytes: number): Result {
  const chunker = createChunker({
    parameters: {
      minBytes: averageBytes * MIN_SHARE,
      averageBytes,
      maxBytes: averageBytes * MAX_FACTOR,
    },
    table,
    arenaBytes,
  })
  const result: Result = {
    chunkCount: 0,
    storedChunkCount: 0,
    inputBytes: 0,
    uniqueBytes: 0,
    storedBytes: 0,
    cutMs: 0,
  }
  const seen = new Set<string>()
  const id = Buffer.alloc(32)
  let segmentBytes = 0
  const flush = (): void => {
    if (segmentBytes === 0) return
    const input = segment.subarray(0, segmentBytes)
    result.storedBytes += zstd.compressInto(compressed, 0, input, ZSTD_LEVEL)
    segmentBytes = 0
  }
  const keep = (chunk: Uint8Array): void => {
    result.chunkCount++
    result.inputBytes += chunk.length
    hash(chunk, id)
    const key = id.toString('latin1', 0, 16)
    if (seen.has(key)) return
    seen.add(key)
    result.storedChunkCount++
    result.uniqueBytes += chunk.length
    if (segmentBytes + chunk.length > SEGMENT_BYTES) flush()
    segment.set(chunk, segmentBytes)
    segmentBytes += chunk.length
  }
  for (const files of dataSet.versions) {
    for (const file of files) {
      if (typeof file === 'string') {
        const fd = openSync(file, 'r')
        cutAll(chunker, (into) => readSync(fd, into), keep, result)
        closeSync(fd)
      } else {
        let read = 0
        const fill = (into: Uint8Array): number => {
          const piece = file.subarray(read, read + into.length)
          into.set(piece)
          read += piece.length
          return piece.length
        }
        cutAll(chunker, fill, keep, result)
      }
    }
  }
  flush()
  return result
}

/** Cuts one input, which `fill` delivers until it returns 0. */
function cutAll(
  { arena, cut }: Chunker,
  fill: (into: Uint8Array) => number,
  keep: (chunk: Uint8Array) => void,
  result: Result,
): void {
  let [start, end, isLast] = [0, 0, false]
  while (!isLast || start < end) {
    if (!isLast) {
      arena.copyWithin(0, start, end)
      ;[start, end] = [0, end - start]
      while (end < arena.length) {
        const byteCount = fill(arena.subarray(end))
        if (byteCount === 0) {
          isLast = true
          break
        }
        end += byteCount
      }
    }
    while (start < end) {
      const before = performance.now()
      const next = cut(start, end, isLast)
      result.cutMs += performance.now() - before
      if (next === 0) break
      keep(arena.subarray(start, next))
      start = next
    }
  }
}

// ---- Table --------------------------------------------------------------------------------------

const COLUMNS = [
  'average',
  'chunks',
  'mean KiB',
  'stored',
  'unique MB',
  'zstd MB',
  'metadata MB',
  'total MB',
  'vs best',
  'cut MB/s',
] as const

function print(cells: readonly (string | number)[]): void {
  console.log(cells.map((cell, i) => String(cell).padStart(i === 0 ? 9 : 12)).join(''))
}

const mb = (byteCount: number): string => (byteCount / 1e6).toFixed(2)

const sums = new Map<number, number[]>()

function report(dataSet: DataSet): void {
  const results = AVERAGES.map((average) => ({ average, ...measure(dataSet, average) }))
  const withTotal = results.map((result) => {
    const metadataBytes = result.storedChunkCount * METADATA_BYTES_PER_CHUNK
    return { ...result, metadataBytes, totalBytes: result.storedBytes + metadataBytes }
  })
  const best = Math.min(...withTotal.map(({ totalBytes }) => totalBytes))
  console.log(`\n${dataSet.name}: ${mb(results[0]?.inputBytes ?? 0)} MB`)
  print(COLUMNS)
  for (const result of withTotal) {
    const share = result.totalBytes / best
    sums.set(result.average, [...(sums.get(result.average) ?? []), share])
    print([
      `${result.average / KIB} KiB`,
      result.chunkCount,
      (result.inputBytes / result.chunkCount / KIB).toFixed(0),
      result.storedChunkCount,
      mb(result.uniqueBytes),
      mb(result.storedBytes),
      mb(result.metadataBytes),
      mb(result.totalBytes),
      `+${((share - 1) * 100).toFixed(1)} %`,
      (result.inputBytes / 1e3 / result.cutMs).toFixed(0),
    ])
  }
}

try {
  console.log(`chunks from average / 4 to ${MAX_FACTOR} x average; zstd ${ZSTD_LEVEL} in segments`)
  const makers: (() => DataSet | undefined)[] = [
    virtualMachine,
    () => dump('spread'),
    () => dump('recent'),
    () => sourceHistory('stream'),
    () => sourceHistory('files'),
    home,
  ]
  for (const make of makers) {
    const dataSet = make()
    if (dataSet !== undefined) report(dataSet)
  }
  console.log('\nstored bytes and metadata, relative to the best of each kind of data, mean:')
  for (const [average, shares] of sums) {
    const mean = shares.reduce((a, b) => a + b, 0) / shares.length
    console.log(`${`${average / KIB} KiB`.padStart(9)}   +${((mean - 1) * 100).toFixed(1)} %`)
  }
} finally {
  rmSync(work, { recursive: true, force: true })
}
