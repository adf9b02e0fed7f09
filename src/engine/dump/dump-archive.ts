/**
 * Writes a directory of a snapshot as an archive. Memory is one leaf for each level of directories,
 * and a path for each file that has several names.
 *
 * What cannot be read as it was written must never look whole: a directory or an entry is told and
 * passed over, and the archive ends as one that is cut off; a file whose content is damaged cuts it
 * off at once, because its length has been promised.
 */

import type { ArchiveEntry, ArchiveWriter } from '../../archive/archive.ts'
import { type ByteString, textOf } from '../../base/bytes.ts'
import { CairnError, isCairnError, throwIfAborted } from '../../base/errors.ts'
import type { NodeType } from '../../base/units.ts'
import { LIMIT } from '../../format/constants.ts'
import { ENTRY_TYPE, type NodeRoot, type TreeEntry } from '../../format/tree.ts'
import type { BlobReader } from '../../repository/blob-reader.ts'
import { readFile } from '../../repository/file-reader.ts'
import { loadXattrs, readDirectory } from '../../repository/tree-reader.ts'
import { hasSameContent, hasSameMetadata, isSameSpecial } from '../diff/same-entry.ts'
import { typeName } from '../node-type.ts'

export interface DumpOptions {
  readonly blobs: BlobReader
  readonly root: NodeRoot
  /** The path of `root` in the archive, without a slash at either end; empty for its top. */
  readonly prefix: ByteString
  /** The entry of `root` itself, which comes first; undefined where it has none. */
  readonly own: TreeEntry | undefined
  readonly writer: ArchiveWriter
  readonly userNames: ReadonlyMap<number, string>
  readonly groupNames: ReadonlyMap<number, string>
  readonly signal: AbortSignal
  /** The archive cannot hold an entry of this type: it is left out. */
  onLeftOut(path: string, type: NodeType): void
  onProblem(path: string, error: unknown): void
}

/** Throws CAIRN_CORRUPT if anything could not be read; `onProblem` was told of what was passed over. */
export async function dumpArchive(options: DumpOptions): Promise<void> {
  const { writer } = options
  const dump = new Dump(options)
  try {
    await dump.run()
  } catch (error) {
    await writer.abandon()
    throw error
  }
  if (dump.problemCount === 0) return await writer.finish()
  await writer.abandon()
  throw new CairnError('CAIRN_CORRUPT', "the archive is not whole; run 'cairn check'")
}

interface FirstName {
  readonly path: ByteString
  readonly entry: TreeEntry
}

class Dump {
  readonly #options: DumpOptions
  readonly #firstNames = new Map<bigint, FirstName>()
  problemCount = 0

  constructor(options: DumpOptions) {
    this.#options = options
  }

  async run(): Promise<void> {
    const { prefix, own, root } = this.#options
    if (own !== undefined) await this.#add(own, prefix)
    await this.#directory(root, prefix, 0)
  }

  #problem(path: ByteString, error: unknown): void {
    this.problemCount++
    this.#options.onProblem(`/${textOf(path)}`, error)
  }

  async #directory(root: NodeRoot, path: ByteString, depth: number): Promise<void> {
    const { blobs, signal } = this.#options
    const within = path === '' ? '' : `${path}/`
    const leaves = readDirectory(blobs, root, {
      signal,
      onRefused: ({ name, problem }) =>
        this.#problem(
          within + name,
          new CairnError('CAIRN_CORRUPT', `its name is refused: ${problem}`),
        ),
      onDamage: (cause) => {
        if (!isCairnError(cause, 'CAIRN_CORRUPT')) throw cause
        this.#problem(path, new CairnError('CAIRN_CORRUPT', 'cannot read directory', { cause }))
      },
    })
    for await (const entries of leaves) {
      for (const entry of entries) {
        throwIfAborted(signal)
        await this.#visit(entry, within + entry.name, depth)
      }
    }
  }

  async #visit(entry: TreeEntry, path: ByteString, depth: number): Promise<void> {
    const { writer, onLeftOut } = this.#options
    const type = typeName(entry.type)
    if (type === undefined || entry.unknownCritical === true) {
      const problem = 'it is of a kind that this program does not know; update cairn'
      this.#problem(path, new CairnError('CAIRN_FORMAT_TOO_NEW', problem))
      return
    }
    if (!writer.holds(type)) {
      onLeftOut(`/${textOf(path)}`, type)
      return
    }
    await this.#add(entry, path)
    if (type !== 'dir') return
    if (entry.subtree !== undefined && depth < LIMIT.depthMax) {
      return await this.#directory(entry.subtree, path, depth + 1)
    }
    const problem =
      entry.subtree === undefined
        ? 'it is a directory without contents'
        : `it is more than ${LIMIT.depthMax} directories deep`
    this.#problem(path, new CairnError('CAIRN_CORRUPT', problem))
  }

  async #add(entry: TreeEntry, path: ByteString): Promise<void> {
    const { blobs, writer, signal } = this.#options
    const first = this.#firstName(entry, path)
    const described = await this.#describe(entry, path, first)
    try {
      const hasContent = entry.type === ENTRY_TYPE.file && first === undefined
      await writer.add(described, hasContent ? readFile(blobs, entry, signal) : undefined)
    } catch (cause) {
      if (!isCairnError(cause, 'CAIRN_CORRUPT')) throw cause
      throw new CairnError('CAIRN_CORRUPT', `cannot dump '/${textOf(path)}'`, { cause })
    }
  }

  /** The name that the same file had before, if it is really the same. */
  #firstName(entry: TreeEntry, path: ByteString): FirstName | undefined {
    const { linkGroup } = entry
    if (linkGroup === undefined || entry.type === ENTRY_TYPE.directory) return undefined
    if (!this.#options.writer.holdsHardLinks) return undefined
    const first = this.#firstNames.get(linkGroup)
    if (first === undefined) this.#firstNames.set(linkGroup, { path, entry })
    return first !== undefined && isSameFile(first.entry, entry) ? first : undefined
  }

  async #describe(
    entry: TreeEntry,
    path: ByteString,
    first: FirstName | undefined,
  ): Promise<ArchiveEntry> {
    const { userNames, groupNames, signal, blobs } = this.#options
    const { mode, uid, gid, mtime, atime, size, target, device } = entry
    let xattrs: ArchiveEntry['xattrs'] = []
    try {
      if (first === undefined) xattrs = await loadXattrs(blobs, entry, signal)
    } catch (error) {
      if (!isCairnError(error, 'CAIRN_CORRUPT')) throw error
      this.#problem(path, error)
    }
    const userName = userNames.get(uid)
    const groupName = groupNames.get(gid)
    return {
      path,
      type: typeName(entry.type) ?? 'file',
      mode,
      uid,
      gid,
      mtime,
      size,
      xattrs,
      ...(userName === undefined ? {} : { userName }),
      ...(groupName === undefined ? {} : { groupName }),
      ...(atime === undefined ? {} : { atime }),
      ...(target === undefined ? {} : { target }),
      ...(device === undefined ? {} : { device }),
      ...(first === undefined ? {} : { hardLinkTo: first.path }),
    }
  }
}

/** Entries of one group should be one file; what an attacker put together is written as it is. */
function isSameFile(a: TreeEntry, b: TreeEntry): boolean {
  // The times of a pipe in use differ from one name to the next, as that of a link that was read.
  if (a.type !== ENTRY_TYPE.file) return isSameSpecial(a, b)
  return a.size === b.size && hasSameContent(a, b) && hasSameMetadata(a, b)
}
