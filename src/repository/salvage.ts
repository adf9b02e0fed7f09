/** What a pack can be read by: its footer, or else the segments that still open one by one. */

import { CairnError, errorChain, isCairnError } from '../base/errors.ts'
import type { FileName } from '../base/ids.ts'
import { loadZstd } from '../compression/zstd.ts'
import { loadBlake3 } from '../crypto/blake3.ts'
import type { IndexedPack } from '../format/index-file.ts'
import { BlobIdentifier } from '../pipeline/keys.ts'
import {
  directoryOf,
  openPreambleOf,
  readPackDirectory,
  type SalvagedSegment,
  walkSegments,
} from '../pipeline/pack-directory-reader.ts'
import { AeadSet } from '../pipeline/pack-seal.ts'
import { SegmentReader } from '../pipeline/segment-reader.ts'
import type { Repository } from './repository.ts'

export interface PackFile {
  readonly name: FileName
  readonly byteCount: number
  /** A preamble that an index file has, for a pack that has lost both of its own. */
  readonly preamble: Uint8Array | undefined
}

export type Salvaged =
  | { readonly kind: 'footer' | 'segments'; readonly pack: IndexedPack }
  | { readonly kind: 'nothing'; readonly problem: string }

interface Operation {
  readonly signal?: AbortSignal | undefined
}

export async function salvagePack(
  repository: Repository,
  file: PackFile,
  operation: Operation = {},
): Promise<Salvaged> {
  try {
    return { kind: 'footer', pack: await byFooter(repository, file, operation) }
  } catch (error) {
    if (!isCairnError(error, 'CAIRN_CORRUPT')) throw error
    return await bySegments(repository, file, { operation, problem: errorChain(error) })
  }
}

async function byFooter(
  repository: Repository,
  { name, byteCount }: PackFile,
  operation: Operation,
): Promise<IndexedPack> {
  const { preamble, directory } = await readPackDirectory({
    byteCount,
    keyOf: (head) => repository.packKey(head),
    load: async (range) => {
      const bytes = await repository.backend.load({ kind: 'packs', name }, range, operation)
      if (bytes !== undefined) return bytes
      throw new CairnError('CAIRN_CORRUPT', 'the pack is gone')
    },
  })
  const author = repository.keyring.authorId
  return { name, byteCount, verified: false, author, preamble, directory }
}

async function bySegments(
  repository: Repository,
  { name, byteCount, preamble: known }: PackFile,
  { operation, problem }: { readonly operation: Operation; readonly problem: string },
): Promise<Salvaged> {
  const bytes = await repository.backend.load({ kind: 'packs', name }, undefined, operation)
  if (bytes?.length !== byteCount) return { kind: 'nothing', problem: 'the pack is gone' }
  const opened = openedBy(repository, bytes, known)
  if (opened === undefined) return { kind: 'nothing', problem }
  const { data, metadata } = repository.keyring.ids
  const segments: Omit<SalvagedSegment, 'plain'>[] = []
  const walk = walkSegments(bytes, opened.key, {
    segments: new SegmentReader(new AeadSet(), loadZstd()),
    identifier: new BlobIdentifier({ data, metadata }, loadBlake3()),
  })
  for (const { segment, rows, ids } of walk) segments.push({ segment, rows, ids })
  if (segments.length === 0) return { kind: 'nothing', problem }
  const directory = directoryOf(segments)
  const author = repository.keyring.authorId
  return {
    kind: 'segments',
    pack: { name, byteCount, verified: false, author, preamble: opened.preamble, directory },
  }
}

function openedBy(
  repository: Repository,
  bytes: Uint8Array,
  known: Uint8Array | undefined,
): ReturnType<typeof openPreambleOf> | undefined {
  try {
    return openPreambleOf(bytes, (head) => repository.packKey(head))
  } catch (error) {
    if (!isCairnError(error, 'CAIRN_CORRUPT')) throw error
    if (known === undefined) return undefined
    return { preamble: known, key: repository.packKey(known) }
  }
}
