/**
 * Content-defined chunking: bytes in, cut points out. A leaf that knows nothing of files or blobs.
 * FORMAT.md "Chunking" defines the cut points; every implementation gives exactly the same ones.
 */

/** Bytes. 256 <= min < average < max <= 64 MiB; average is a power of two. */
export interface ChunkerParameters {
  readonly minBytes: number
  readonly averageBytes: number
  readonly maxBytes: number
}

export interface Chunker {
  readonly implementation: 'wasm' | 'typescript'
  /**
   * The chunker's own memory. Callers read their input straight into it; `cut` looks at it. It
   * never moves and its contents are only what callers wrote.
   */
  readonly arena: Uint8Array
  /**
   * The end (exclusive) of the chunk that starts at `start`, given input up to `end`; both are
   * positions in the arena. `isLast` says that the input ends at `end`. Returns 0 if the chunk may
   * go on beyond `end`: call again with the same bytes and more. Never 0 if `isLast`, or if
   * `end - start >= maxBytes`. The result depends on nothing but the bytes from `start` on, and not
   * on how much of them was given at a time.
   */
  cut(start: number, end: number, isLast: boolean): number
}
