/** Makes chunkers: WebAssembly where it works, else TypeScript with exactly the same cuts. */

import { CairnError } from '../base/errors.ts'
import type { Chunker, ChunkerParameters } from './chunker.ts'
import { typescriptChunker } from './fastcdc.ts'
import { wasmChunker } from './fastcdc-wasm.ts'

/** FORMAT.md "Chunking". */
const CHUNK_BYTES_FLOOR = 256
const CHUNK_BYTES_CEILING = 64 * 1024 * 1024

export const GEAR_TABLE_BYTES = 1024

const ARENA_BYTES_MAX = 1024 * 1024 * 1024

export interface ChunkerOptions {
  readonly parameters: ChunkerParameters
  /** From `gearTableFrom`. */
  readonly table: Uint32Array
  /** At least `maxBytes`. Several times that saves moving bytes to the front. */
  readonly arenaBytes: number
  /** For tests. `wasm` throws where it does not work; without this the fallback is silent. */
  readonly implementation?: Chunker['implementation']
}

/** The gear table: 256 little-endian u32 from 1,024 bytes of the chunker's key stream. */
export function gearTableFrom(bytes: Uint8Array): Uint32Array {
  if (bytes.byteLength !== GEAR_TABLE_BYTES) {
    throw new RangeError(`a gear table is made of 1024 bytes, not ${bytes.byteLength}`)
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return Uint32Array.from({ length: 256 }, (_, i) => view.getUint32(4 * i, true))
}

/** Throws CAIRN_CORRUPT for parameters that no chunker can have: they come from a repository. */
export function checkChunkerParameters(parameters: ChunkerParameters): void {
  const { minBytes, averageBytes, maxBytes } = parameters
  const isSound =
    [minBytes, averageBytes, maxBytes].every(Number.isInteger) &&
    minBytes >= CHUNK_BYTES_FLOOR &&
    minBytes < averageBytes &&
    averageBytes < maxBytes &&
    maxBytes <= CHUNK_BYTES_CEILING &&
    (averageBytes & (averageBytes - 1)) === 0
  if (isSound) return
  throw new CairnError(
    'CAIRN_CORRUPT',
    `cannot cut chunks of ${minBytes}, ${averageBytes} and ${maxBytes} bytes (least, average, ` +
      `most): the bounds are 256 bytes and 64 MiB, and the average is a power of two between`,
  )
}

/** One chunker with its own arena, for one thread and one input at a time. */
export function createChunker(options: ChunkerOptions): Chunker {
  const { parameters, table, arenaBytes, implementation } = options
  checkChunkerParameters(parameters)
  if (table.length !== 256) {
    throw new RangeError(`a gear table has 256 entries, not ${table.length}`)
  }
  if (
    !(Number.isInteger(arenaBytes) && arenaBytes <= ARENA_BYTES_MAX) ||
    arenaBytes < parameters.maxBytes
  ) {
    throw new RangeError(`an arena has ${parameters.maxBytes} bytes to 1 GiB, not ${arenaBytes}`)
  }
  const chunker = make(parameters, table, arenaBytes, implementation)
  return {
    implementation: chunker.implementation,
    arena: chunker.arena,
    cut: (start, end, isLast) => {
      if (!(start >= 0 && start <= end && end <= arenaBytes)) {
        throw new RangeError(`no input at ${start} to ${end} of an arena of ${arenaBytes} bytes`)
      }
      return chunker.cut(start, end, isLast)
    },
  }
}

function make(
  parameters: ChunkerParameters,
  table: Uint32Array,
  arenaBytes: number,
  implementation: Chunker['implementation'] | undefined,
): Chunker {
  if (implementation === 'typescript') return typescriptChunker(parameters, table, arenaBytes)
  try {
    return wasmChunker(parameters, table, arenaBytes)
  } catch (error) {
    if (implementation === 'wasm') throw error
    // No WebAssembly (--jitless), or not the address space that it reserves.
    return typescriptChunker(parameters, table, arenaBytes)
  }
}
