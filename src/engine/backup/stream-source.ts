/** Backs up one file whose content comes as a stream: standard input, or a command's output. */

import { type ByteString, byteStringOf, textOf } from '../../base/bytes.ts'
import { CairnError, throwIfAborted } from '../../base/errors.ts'
import { partsOf } from '../../base/paths.ts'
import { createChunker, gearTableFrom } from '../../chunker/create-chunker.ts'
import { keyStream } from '../../crypto/derive.ts'
import { LIMIT, REFERENCE_BYTES } from '../../format/constants.ts'
import { ENTRY_TYPE, type NodeRoot } from '../../format/tree.ts'
import type { BackupResult } from '../../pipeline/backup-result.ts'
import type { Repository } from '../../repository/repository.ts'
import { timeOf } from '../../repository/time.ts'
import type { BackupInput, BackupOptions } from './backup-options.ts'
import type { BackupWriter } from './backup-writer.ts'
import { ContentCollector, type FileReader } from './file-reader.ts'
import { absolutePath } from './source-roots.ts'

const JOB_BYTES = 4 << 20
const STREAM_MODE = 0o644

export interface StreamParts {
  readonly writer: BackupWriter
  readonly reader: FileReader
  readonly repository: Repository
  readonly options: BackupOptions
  readonly nowNs: bigint
}

/**
 * A stream is gone once it has been read: whoever wants it again, because a prune took something away
 * or an index was damaged, gets CAIRN_CONFLICT, never the nothing that is left of it.
 */
export function readableOnce(input: BackupInput): BackupInput {
  if (input.kind !== 'stream') return input
  let isRead = false
  const chunks: AsyncIterable<Uint8Array> = {
    [Symbol.asyncIterator]: () => {
      if (isRead) {
        throw new CairnError(
          'CAIRN_CONFLICT',
          'cannot finish the backup: part of it has to be stored again, and a stream cannot be read ' +
            'twice; run it again',
        )
      }
      isRead = true
      return input.chunks[Symbol.asyncIterator]()
    },
  }
  return { ...input, chunks }
}

/**
 * Where a stream of this name is in the snapshot, without `.` and `..`, which no tree can have. Throws
 * CAIRN_USAGE for a name that is none of a file.
 */
export function streamPath(name: ByteString): ByteString {
  const path = absolutePath(name, byteStringOf('/'))
  const isTooLong = path.split('/').some((part) => part.length > LIMIT.nameBytesMax)
  if (path === '/' || isTooLong || path.includes('\0')) {
    throw new CairnError(
      'CAIRN_USAGE',
      `cannot back up a stream as '${textOf(name)}': that is not the name of a file`,
    )
  }
  return path
}

/** Stores the stream, and the directories that lead to it. Rejects if the stream does. */
export async function storeStream(
  input: Extract<BackupInput, { kind: 'stream' }>,
  parts: StreamParts,
): Promise<{ readonly root: NodeRoot; readonly byteCount: number }> {
  const { writer, reader, options, nowNs } = parts
  const content = await storeChunks(input.chunks, parts)
  const { process } = options.environment
  const mtime = timeOf(nowNs)
  const owner = { uid: process.uid, gid: process.gid, mtime }
  const components = partsOf(streamPath(input.name))
  const file = components.pop() ?? ''
  const list = content.extras()
  const fileTree = writer.newTree()
  const base = { name: file, type: ENTRY_TYPE.file, mode: STREAM_MODE, size: content.size }
  fileTree.add({ ...base, ...owner, ...list })
  let root = fileTree.finish()
  for (const name of components.reverse()) {
    const tree = writer.newTree()
    tree.add({ name, type: ENTRY_TYPE.directory, mode: 0o755, size: 0, ...owner, subtree: root })
    root = tree.finish()
  }
  await reader.drain()
  return { root, byteCount: content.size }
}

/** Cuts the stream here, where it arrives, and has workers do the rest. */
async function storeChunks(
  chunks: AsyncIterable<Uint8Array>,
  parts: StreamParts,
): Promise<ContentCollector> {
  const { writer, reader, repository, options } = parts
  const { chunker: parameters } = repository.box
  const arenaBytes = JOB_BYTES + 2 * parameters.maxBytes
  const table = gearTableFrom(keyStream(repository.keyring.ids.chunker, 'gear32', 1024))
  const chunker = createChunker({ parameters, table, arenaBytes })
  const content = new ContentCollector(() => writer.newList())
  let end = 0
  const cutAll = async (isLast: boolean): Promise<void> => {
    const lengths: number[] = []
    let start = 0
    for (;;) {
      const cut = start < end ? chunker.cut(start, end, isLast) : 0
      if (cut === 0) break
      lengths.push(cut - start)
      start = cut
    }
    if (lengths.length === 0) return
    const bytes = chunker.arena.slice(0, start)
    chunker.arena.copyWithin(0, start, end)
    end -= start
    await reader.takeBytes(bytes, Uint32Array.from(lengths), (result) =>
      collect(content, result, reader),
    )
  }
  for await (const chunk of chunks) {
    throwIfAborted(options.signal)
    for (let at = 0; at < chunk.length; ) {
      const room = Math.min(chunk.length - at, chunker.arena.length - end)
      chunker.arena.set(chunk.subarray(at, at + room), end)
      end += room
      at += room
      if (end >= JOB_BYTES + parameters.maxBytes) await cutAll(false)
    }
  }
  await cutAll(true)
  await reader.drain()
  return content
}

function collect(content: ContentCollector, result: BackupResult, reader: FileReader): void {
  reader.collect(content, result, 0, result.references.length / REFERENCE_BYTES)
  content.size += result.sizes[0] ?? 0
}
