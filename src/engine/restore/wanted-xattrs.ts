/** The extended attributes that entries say, also those that are kept in a blob of their own. */

import { byteString } from '../../base/bytes.ts'
import { CairnError } from '../../base/errors.ts'
import { BLOB_TYPE } from '../../format/constants.ts'
import type { TreeEntry } from '../../format/tree.ts'
import { decodeXattrs } from '../../format/xattrs.ts'
import type { FileFacts } from '../../pipeline/restore-job.ts'
import type { Xattr } from '../../source/target-files.ts'
import { ownerOf, type RestoreContext, setAfterLinks } from './restore-context.ts'
import type { FileTask } from './window.ts'

const NONE: readonly Xattr[] = Object.freeze([])

function named(xattrs: NonNullable<TreeEntry['xattrs']>): readonly Xattr[] {
  return xattrs.map(([name, value]) => [byteString(name), value])
}

/** Those in the entry itself. */
export function inlineXattrs({ xattrs }: TreeEntry): readonly Xattr[] {
  return xattrs === undefined ? NONE : named(xattrs)
}

/** Undefined, and told, if they cannot be read: those that are at the target stay then. */
export async function wantedXattrs(
  context: RestoreContext,
  { path, entry }: Pick<FileTask, 'path' | 'entry'>,
): Promise<readonly Xattr[] | undefined> {
  const inline = inlineXattrs(entry)
  if (entry.xattrsId === undefined) return inline
  const { blobs, signal } = context.options
  try {
    const bytes = await blobs.load(entry.xattrsId, BLOB_TYPE.aux, signal)
    return [...inline, ...named(decodeXattrs(bytes))]
  } catch (error) {
    if (!(error instanceof CairnError) || error.code !== 'CAIRN_CORRUPT') throw error
    context.reporter.unset('xattrs')
    context.reporter.explainUnset(path, { what: 'xattrs', message: error.message })
    return undefined
  }
}

/** What workers are told of files. */
export async function factsOf(
  context: RestoreContext,
  tasks: readonly FileTask[],
): Promise<FileFacts[]> {
  const facts: FileFacts[] = []
  for (const task of tasks) {
    const { entry, path } = task
    const { size, mode, mtime, atime } = entry
    const { uid, gid } = ownerOf(context.options, entry)
    const isPlain = entry.xattrs === undefined && entry.xattrsId === undefined
    facts.push({
      path,
      size,
      mode,
      uid,
      gid,
      mtime,
      atime,
      flags: setAfterLinks(entry) ? 0 : (entry.flags ?? 0),
      xattrs: isPlain ? NONE : await wantedXattrs(context, task),
    })
  }
  return facts
}
