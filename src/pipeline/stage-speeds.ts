/** How fast one core does what a backup does, stage by stage. */

import { throwIfAborted } from '../base/errors.ts'
import type { Clock } from '../base/seams.ts'
import { createChunker, GEAR_TABLE_BYTES, gearTableFrom } from '../chunker/create-chunker.ts'
import { loadZstd } from '../compression/zstd.ts'
import { AEAD, AEAD_TAG_BYTES, createAead, positionNonce } from '../crypto/aead.ts'
import { loadBlake3, prepareBlake3 } from '../crypto/blake3.ts'
import type { FileSpeedProbe } from '../source/probe-directory.ts'

export interface StageSpeed {
  readonly stage: string
  readonly implementation: string
  readonly bytesPerSecond: number
}

export interface StageSpeedOptions {
  readonly clock: Clock
  readonly file: FileSpeedProbe
  /** How long each stage is measured at least. */
  readonly stageMs: number
  readonly level: number
  readonly signal?: AbortSignal | undefined
}

const INPUT_BYTES = 16 << 20
const CHUNK = { minBytes: 64 << 10, averageBytes: 128 << 10, maxBytes: 512 << 10 }
/** As much as a segment of small chunks holds. */
const PIECE_BYTES = 1 << 20
const KEY = new Uint8Array(32).fill(7)

/** The same for everybody: words of a small vocabulary between numbers, which zstd halves. */
function fillInput(into: Uint8Array): void {
  let state = 1
  for (let at = 0; at < into.length; at++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    const random = state >>> 24
    into[at] = (at & 32) === 0 ? random : 97 + (random & 7)
  }
}

/** Calls `work`, which handles `INPUT_BYTES`, once to warm up and then for `stageMs`. */
function measure(work: () => void, { clock, stageMs }: StageSpeedOptions): number {
  work()
  const startMs = clock.monotonicMs()
  let rounds = 0
  let elapsedMs = 0
  do {
    work()
    rounds++
    elapsedMs = clock.monotonicMs() - startMs
  } while (elapsedMs < stageMs)
  return (rounds * INPUT_BYTES * 1000) / Math.max(elapsedMs, 0.001)
}

function eachPiece(action: (start: number, end: number) => void): void {
  for (let at = 0; at < INPUT_BYTES; at += PIECE_BYTES) action(at, at + PIECE_BYTES)
}

/** The stages in order, each as soon as it is measured. */
export async function* stageSpeeds(options: StageSpeedOptions): AsyncGenerator<StageSpeed> {
  await prepareBlake3()
  const { file, level } = options
  const table = gearTableFrom(gearBytes())
  const chunker = createChunker({ parameters: CHUNK, table, arenaBytes: INPUT_BYTES })
  const input = chunker.arena.subarray(0, INPUT_BYTES)
  fillInput(input)
  const zstd = loadZstd()
  const blake3 = loadBlake3()
  const keyed = blake3.keyed(KEY)
  const id = new Uint8Array(32)
  const out = new Uint8Array(zstd.compressBound(PIECE_BYTES) + AEAD_TAG_BYTES)
  const target = Buffer.alloc(INPUT_BYTES)
  const nonce = positionNonce(0, 0)
  const seal = (aead: ReturnType<typeof createAead>) => () =>
    eachPiece((start, end) => {
      aead.sealInto(out, 0, KEY, nonce, undefined, input.subarray(start, end))
    })
  const chacha = createAead(AEAD.chacha20Poly1305)
  const aes = createAead(AEAD.aes256Gcm)
  file.write(input)
  const stages: readonly (readonly [string, string, () => void])[] = [
    ['read', 'from memory if it fits', () => file.read(target)],
    [
      'chunk',
      chunker.implementation,
      () => {
        for (let at = 0; at < INPUT_BYTES; ) at = chunker.cut(at, INPUT_BYTES, true)
      },
    ],
    ['hash', blake3.implementation, () => eachPiece((a, b) => keyed(input.subarray(a, b), id))],
    [
      'compress',
      `${zstd.implementation}, level ${level}`,
      () => eachPiece((a, b) => zstd.compressInto(out, 0, input.subarray(a, b), level)),
    ],
    ['seal chacha20-poly1305', chacha.implementation, seal(chacha)],
    ['seal aes-256-gcm', aes.implementation, seal(aes)],
    ['write', 'and made durable', () => file.write(input)],
  ]
  for (const [stage, implementation, work] of stages) {
    throwIfAborted(options.signal)
    yield { stage, implementation, bytesPerSecond: measure(work, options) }
    // Lets a signal arrive between stages.
    await options.clock.sleep(0, options.signal)
  }
}

function gearBytes(): Uint8Array {
  const bytes = new Uint8Array(GEAR_TABLE_BYTES)
  fillInput(bytes)
  return bytes
}
