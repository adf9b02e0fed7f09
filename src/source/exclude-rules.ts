/** Excludes that look at what is in a directory, or at a size, instead of a name. */

import { bytesOf, byteStringOf, type ByteString, equalBytes } from '../base/bytes.ts'
import { CairnError } from '../base/errors.ts'
import type { SourceFiles, SourceStat } from './source-files.ts'

/** A file that marks its directory as one to leave out, if it begins with `header`. */
export interface DirectoryTag {
  readonly name: ByteString
  /** Empty: its being there is enough. */
  readonly header: ByteString
}

/** --exclude-caches: the Cache Directory Tagging Specification, https://bford.info/cachedir/ */
export const CACHE_TAG: DirectoryTag = {
  name: 'CACHEDIR.TAG',
  header: 'Signature: 8a477f597d28d172789f06886806bc55',
}

/** The argument of --exclude-if-present: `name[:header]`. Throws CAIRN_USAGE if there is no name. */
export function parseDirectoryTag(text: string): DirectoryTag {
  const colon = text.indexOf(':')
  const name = colon < 0 ? text : text.slice(0, colon)
  if (name === '' || name.includes('/')) {
    throw new CairnError('CAIRN_USAGE', `invalid tag file '${text}': expected NAME or NAME:HEADER`)
  }
  return { name: byteStringOf(name), header: colon < 0 ? '' : byteStringOf(text.slice(colon + 1)) }
}

export interface TaggedNames {
  /** What is left of `names`: all of them, or of a tagged directory only the tag itself. */
  readonly names: readonly ByteString[]
  /** Tags that are there but could not be read or say something else: worth a word to the user. */
  readonly doubtful: readonly ByteString[]
}

/** Applies `tags` to the directory `path`, which holds `names`. */
export function applyDirectoryTags(options: {
  readonly tags: readonly DirectoryTag[]
  readonly path: ByteString
  readonly names: readonly ByteString[]
  readonly files: SourceFiles
}): TaggedNames {
  const { tags, path, files } = options
  let { names } = options
  const doubtful: ByteString[] = []
  for (const { name, header } of tags) {
    if (!options.names.includes(name)) continue
    const tagPath = path.endsWith('/') ? path + name : `${path}/${name}`
    if (header === '' || beginsWith(tagPath, header, files)) {
      names = names.filter((candidate) => candidate === name)
    } else {
      doubtful.push(tagPath)
    }
  }
  return { names, doubtful }
}

/** False also if it cannot be read: a directory is rather saved than lost. */
function beginsWith(path: ByteString, header: ByteString, files: SourceFiles): boolean {
  try {
    const file = files.open(path)
    try {
      const found = new Uint8Array(header.length)
      const byteCount = file.read(found, 0, found.length, 0)
      return byteCount === found.length && equalBytes(found, bytesOf(header))
    } finally {
      file.close()
    }
  } catch {
    return false
  }
}

/** Whether --exclude-larger-than leaves this out: files only. */
export function isLargerThan(stat: SourceStat, byteCount: number): boolean {
  return stat.type === 'file' && stat.size > byteCount
}
