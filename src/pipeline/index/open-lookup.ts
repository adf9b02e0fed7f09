/** A worker's view of whichever index the run uses. */

import type { BlobLookup, IndexShare } from './blob-index.ts'

const EMPTY: BlobLookup = { findPack: () => -1, close: () => Promise.resolve() }

export async function openLookup(share: IndexShare): Promise<BlobLookup> {
  if (share.kind === 'empty') return EMPTY
  if (share.kind === 'memory') return (await import('./memory-index.ts')).memoryLookup(share)
  return await (await import('./level-index.ts')).levelLookup(share)
}
