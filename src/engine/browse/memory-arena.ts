/**
 * Shared memory that is handed out in pieces and taken back: what is decoded by the megabyte goes to
 * the same places again, where fresh memory would cost a page fault for every 4 KiB and the garbage
 * collector's attention.
 *
 * First fit, so that a reader in order stays in few places, which the processor's caches still hold.
 */

/** Memory comes in slabs of this size, which the system fills as they are used. */
const SLAB_BYTES = 64 << 20
/** Pieces begin at multiples of this. */
const UNIT_BYTES = 4_096

interface Extent {
  readonly start: number
  readonly end: number
}

interface Slab {
  readonly buffer: SharedArrayBuffer
  /** What is free, in order, with something in between. */
  free: Extent[]
}

export class MemoryArena {
  readonly #slabs: Slab[] = []
  #bytesLeft: number

  /** Never takes more than `byteCountMax` from the system. */
  constructor(byteCountMax: number) {
    this.#bytesLeft = byteCountMax
  }

  /** A piece of `byteCount` bytes, whatever they are; undefined if there is none that long. */
  allocate(byteCount: number): Uint8Array | undefined {
    const need = Math.ceil(byteCount / UNIT_BYTES) * UNIT_BYTES
    for (const slab of this.#slabs) {
      const at = slab.free.findIndex(({ start, end }) => end - start >= need)
      const extent = slab.free[at]
      if (extent === undefined) continue
      const rest = { start: extent.start + need, end: extent.end }
      slab.free.splice(at, 1, ...(rest.start < rest.end ? [rest] : []))
      return new Uint8Array(slab.buffer, extent.start, byteCount)
    }
    return this.#addSlab(need) ? this.allocate(byteCount) : undefined
  }

  #addSlab(need: number): boolean {
    const byteCount = Math.min(SLAB_BYTES, this.#bytesLeft)
    if (byteCount < need) return false
    this.#bytesLeft -= byteCount
    const buffer = new SharedArrayBuffer(byteCount)
    this.#slabs.push({ buffer, free: [{ start: 0, end: byteCount }] })
    return true
  }

  /** Takes back what `allocate` gave. Returns false for what it did not. */
  free(piece: Uint8Array): boolean {
    const slab = this.#slabs.find(({ buffer }) => buffer === piece.buffer)
    if (slab === undefined) return false
    const start = piece.byteOffset
    const end = start + Math.ceil(piece.byteLength / UNIT_BYTES) * UNIT_BYTES
    const next = slab.free.findIndex((extent) => extent.start >= end)
    const at = next < 0 ? slab.free.length : next
    const [before, after] = [slab.free[at - 1], slab.free[at]]
    const joinsBefore = before?.end === start
    const joinsAfter = after?.start === end
    slab.free.splice(joinsBefore ? at - 1 : at, (joinsBefore ? 1 : 0) + (joinsAfter ? 1 : 0), {
      start: joinsBefore ? before.start : start,
      end: joinsAfter ? after.end : end,
    })
    return true
  }
}
