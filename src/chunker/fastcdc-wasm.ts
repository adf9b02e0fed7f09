/**
 * The rule of fastcdc.ts in WebAssembly: about twice as fast as TypeScript, and always as fast,
 * since it does not depend on what the optimising compiler saw before. The arena is its memory.
 */

import type { Chunker, ChunkerParameters } from './chunker.ts'
import { gearMasks } from './fastcdc.ts'

/** fastcdc.wat, compiled. test/chunker/wasm-source.test.ts holds the two together. */
export const FASTCDC_WASM_BASE64 =
  'AGFzbQEAAAABCAFgA39/fwF/AhEBBWNhaXJuBm1lbW9yeQIAAQMCAQAHDAEIZmlyc3RDdXQAAAqHAgGEAgEDfyAB' +
  'QR9rIQQDQCADQQF0IAQtAABBAnQoAgBqIQMgBEEBaiIEIAFJDQALIAJBA2shBQJAAkACQAJAIAQgBUkEQANAIAAg' +
  'A0EBdCAELQAAQQJ0KAIAaiIDcUUNAiAAIANBAXQgBC0AAUECdCgCAGoiA3FFDQMgACADQQF0IAQtAAJBAnQoAgBq' +
  'IgNxRQ0EIAAgA0EBdCAELQADQQJ0KAIAaiIDcUUNBSAEQQRqIgQgBUkNAAsLAkADQCAEIAJPDQEgACADQQF0IAQt' +
  'AABBAnQoAgBqIgNxRQ0CIARBAWohBAwACwtBAA8LIARBAWoPCyAEQQJqDwsgBEEDag8LIARBBGoL'

/** What is used of WebAssembly, which the types of Node 20 leave out. */
interface WebAssemblyApi {
  readonly Module: new (bytes: Uint8Array) => object
  readonly Memory: new (limits: {
    initial: number
    maximum: number
  }) => {
    readonly buffer: ArrayBuffer
  }
  readonly Instance: new (module: object, imports: object) => { readonly exports: object }
}

interface Exports {
  firstCut(mask: number, from: number, end: number): number
}

const PAGE_BYTES = 65_536
/** Where the arena begins: after the gear table, at a memory page for the sake of reads into it. */
const ARENA_OFFSET = 4096

let compiled: object | undefined

/** Throws if this runtime has no WebAssembly or cannot give it memory. */
export function wasmChunker(
  parameters: ChunkerParameters,
  table: Uint32Array,
  arenaBytes: number,
): Chunker {
  const api = (globalThis as { WebAssembly?: WebAssemblyApi }).WebAssembly
  if (api === undefined) throw new Error('this runtime has no WebAssembly')
  compiled ??= new api.Module(Buffer.from(FASTCDC_WASM_BASE64, 'base64'))
  const pages = Math.ceil((ARENA_OFFSET + arenaBytes) / PAGE_BYTES)
  // It cannot grow, so the views on it stay good.
  const memory = new api.Memory({ initial: pages, maximum: pages })
  const instance = new api.Instance(compiled, { cairn: { memory } })
  const { firstCut } = instance.exports as Exports
  const gear = new DataView(memory.buffer)
  table.forEach((value, i) => gear.setUint32(4 * i, value, true))

  const { minBytes, averageBytes, maxBytes } = parameters
  const { strict, loose } = gearMasks(averageBytes)
  return {
    implementation: 'wasm',
    arena: new Uint8Array(memory.buffer, ARENA_OFFSET, arenaBytes),
    cut: (start, end, isLast) => {
      const given = end - start
      const testable = given < maxBytes ? given : maxBytes - 1
      const base = ARENA_OFFSET + start
      if (testable >= minBytes) {
        const strictEnd = testable < averageBytes ? testable : averageBytes - 1
        const early = firstCut(strict, base + minBytes - 1, base + strictEnd)
        if (early > 0) return early - ARENA_OFFSET
      }
      if (testable >= averageBytes) {
        const late = firstCut(loose, base + averageBytes - 1, base + testable)
        if (late > 0) return late - ARENA_OFFSET
      }
      if (given >= maxBytes) return start + maxBytes
      return isLast ? end : 0
    },
  }
}
