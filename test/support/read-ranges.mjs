/**
 * Reads random ranges of random files of two trees and compares them: `node read-ranges.mjs A B SEED
 * COUNT`. Ends with 1 and the first difference.
 */

import { closeSync, openSync, readdirSync, readSync, statSync } from 'node:fs'
import process from 'node:process'

const [a, b, seed, count] = process.argv.slice(2)
let state = Number(seed) >>> 0
/** mulberry32: enough to choose, and the same everywhere. */
function random(limit) {
  state = (state + 0x6d2b79f5) >>> 0
  let t = Math.imul(state ^ (state >>> 15), 1 | state)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * limit)
}

function read(path, offset, length) {
  const file = openSync(path, 'r')
  const buffer = Buffer.alloc(length)
  try {
    let done = 0
    while (done < length) {
      const byteCount = readSync(file, buffer, done, length - done, offset + done)
      if (byteCount === 0) break
      done += byteCount
    }
    return buffer.subarray(0, done)
  } finally {
    closeSync(file)
  }
}

/** As bytes: not every name is text. */
function filesBelow(directory) {
  return readdirSync(directory, { withFileTypes: true, encoding: 'buffer' })
    .toSorted((one, other) => Buffer.compare(one.name, other.name))
    .flatMap((entry) => {
      const path = Buffer.concat([directory, Buffer.from('/'), entry.name])
      if (entry.isDirectory()) return filesBelow(path)
      return entry.isFile() ? [path] : []
    })
}

const paths = filesBelow(Buffer.from(a))
const prefix = Buffer.byteLength(a)
for (let i = 0; i < Number(count); i++) {
  const path = paths[random(paths.length)]
  const other = Buffer.concat([Buffer.from(b), path.subarray(prefix)])
  const { size } = statSync(path)
  const offset = random(size + 10)
  const length = random(4) === 0 ? random(2_000_000) : random(5_000)
  if (read(path, offset, length).equals(read(other, offset, length))) continue
  console.log(`seed ${seed}: '${path}' differs in ${length} bytes at ${offset}`)
  process.exit(1)
}
