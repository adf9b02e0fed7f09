/** `dump`: from the arguments to the engine. */

import type { ArchiveWriter, ByteSink } from '../archive/archive.ts'
import { byteStringOf } from '../base/bytes.ts'
import { CairnError, isCairnError } from '../base/errors.ts'
import type { NodeType } from '../base/units.ts'
import { dumpArchive } from '../engine/dump/dump-archive.ts'
import type { SnapshotFilter } from '../engine/snapshot-filter.ts'
import type { AtMode } from '../engine/snapshot-reference.ts'
import { ENTRY_TYPE, type TreeEntry } from '../format/tree.ts'
import type { BlobReader } from '../repository/blob-reader.ts'
import { readFile } from '../repository/file-reader.ts'
import { findEntry } from '../repository/tree-reader.ts'
import { cleanPath } from '../source/patterns.ts'
import type { RepositoryAccess } from './access.ts'
import { directoryAt, withBlobs } from './list-tree.ts'
import { openOutputFile } from './output-file.ts'
import { type FoundSnapshot, findSnapshot } from './select-snapshots.ts'

export type ArchiveFormat = 'tar' | 'zip'

export interface DumpRequest {
  /** The snapshot and what may follow its colon; not looked at if there is `at`. */
  readonly reference: string
  readonly at: string | undefined
  readonly atMode: AtMode | undefined
  readonly filter: SnapshotFilter
  /** A file, which is given out as it is, or a directory, which becomes an archive. */
  readonly path: string
  readonly format: ArchiveFormat
  /** A file to write to instead of `output`. */
  readonly target: string | undefined
  readonly output: ByteSink
  /** Called before an archive is written to `output`; throws if it must not be. */
  requireArchiveWanted(): void
  onSnapshot(distance: string | undefined): void
  onLeftOut(path: string, type: NodeType): void
  onProblem(path: string, error: unknown): void
}

async function archiveWriter(format: ArchiveFormat, output: ByteSink): Promise<ArchiveWriter> {
  if (format === 'tar') return new (await import('../archive/tar.ts')).TarWriter(output)
  return new (await import('../archive/zip.ts')).ZipWriter(output)
}

export async function runDump(access: RepositoryAccess, request: DumpRequest): Promise<void> {
  const { filter, at, atMode, reference, target } = request
  const { signal } = access
  access.prepareIndex()
  const repository = await access.open()
  const found = await findSnapshot(repository, reference, { filter, at, atMode, signal })
  request.onSnapshot(found.distance)
  await withBlobs(access, repository, async (blobs) => {
    const dump = await findDump(blobs, found, request, signal)
    if (target === undefined) {
      if (dump.isArchive) request.requireArchiveWanted()
      return await dump.run(request.output)
    }
    const file = await openOutputFile(target)
    try {
      await dump.run((bytes) => file.write(bytes))
      await file.commit()
    } catch (error) {
      await file.discard()
      throw error
    }
  })
}

interface FoundDump {
  readonly isArchive: boolean
  run(output: ByteSink): Promise<void>
}

/** Looks up what is to be dumped, before anything is written. */
async function findDump(
  blobs: BlobReader,
  found: FoundSnapshot,
  request: DumpRequest,
  signal: AbortSignal,
): Promise<FoundDump> {
  const top = await directoryAt(blobs, found, signal)
  const path = cleanPath(`/${byteStringOf(request.path)}`).slice(1)
  const { userNames, groupNames } = found.snapshot.content
  const archive = (root: typeof top, own: TreeEntry | undefined): FoundDump => ({
    isArchive: true,
    run: async (output) => {
      const { onLeftOut, onProblem, format } = request
      const writer = await archiveWriter(format, output)
      const common = { blobs, writer, userNames, groupNames, signal, onLeftOut, onProblem }
      await dumpArchive({ ...common, root, own, prefix: path })
    },
  })
  if (path === '') return archive(top, undefined)
  const entry = await findEntry(blobs, top, path.split('/'), signal)
  if (entry === undefined) throw cannotDump(request, 'the snapshot has no such path')
  if (entry.unknownCritical === true) {
    throw new CairnError('CAIRN_FORMAT_TOO_NEW', `cannot dump '${request.path}': update cairn`)
  }
  if (entry.type === ENTRY_TYPE.directory && entry.subtree !== undefined) {
    return archive(entry.subtree, entry)
  }
  if (entry.type !== ENTRY_TYPE.file) {
    throw cannotDump(request, 'it is neither a file nor a directory')
  }
  return { isArchive: false, run: (output) => dumpFile(blobs, entry, request, output, signal) }
}

function cannotDump({ path }: DumpRequest, problem: string): CairnError {
  return new CairnError('CAIRN_FAILED', `cannot dump '${path}': ${problem}`)
}

async function dumpFile(
  blobs: BlobReader,
  entry: TreeEntry,
  { path }: DumpRequest,
  output: ByteSink,
  signal: AbortSignal,
): Promise<void> {
  try {
    for await (const bytes of readFile(blobs, entry, signal)) await output(bytes)
  } catch (cause) {
    if (!isCairnError(cause, 'CAIRN_CORRUPT')) throw cause
    throw new CairnError('CAIRN_CORRUPT', `'${path}' is cut off: the rest is damaged`, { cause })
  }
}
