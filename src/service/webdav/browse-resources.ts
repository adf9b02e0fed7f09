/**
 * Shows a browse tree to WebDAV clients, which know files and collections only: links and special
 * files out of backups are left out, since a client that follows links would copy without end.
 */

import { createHash } from 'node:crypto'
import { byteString } from '../../base/bytes.ts'
import type { BlobCache } from '../../engine/browse/blob-cache.ts'
import type { BrowseChild, BrowseDirectory } from '../../engine/browse/browse-node.ts'
import { FileContent } from '../../engine/browse/file-content.ts'
import type { NodeCache } from '../../engine/browse/node-cache.ts'
import { ENTRY_TYPE, type Time, type TreeEntry } from '../../format/tree.ts'
import type { WebdavCollection, WebdavResource } from '../../webdav/resource.ts'

export interface BrowseReaders {
  readonly blobs: BlobCache
  readonly nodes: NodeCache
}

function msOf({ seconds, nanoseconds }: Time): number {
  return seconds * 1000 + nanoseconds / 1e6
}

export function browseCollection(
  name: string,
  mtimeMs: number,
  directory: BrowseDirectory,
  readers: BrowseReaders,
): WebdavCollection {
  const resourceOf = (child: BrowseChild) => browseResource(child, directory, readers)
  return {
    kind: 'collection',
    name,
    mtimeMs,
    find: async (wanted) => {
      const child = await directory.find(wanted)
      return child === undefined ? undefined : await resourceOf(child)
    },
    pages: async function* () {
      let position: number | undefined = 0
      while (position !== undefined) {
        const { children, next } = await directory.page(position)
        const resources = await Promise.all(children.map(resourceOf))
        yield resources.filter((one) => one !== undefined)
        position = next
      }
    },
  }
}

async function browseResource(
  child: BrowseChild,
  parent: BrowseDirectory,
  readers: BrowseReaders,
): Promise<WebdavResource | undefined> {
  const { name, entry, open } = child
  const mtimeMs = msOf(entry.mtime)
  if (open !== undefined) return browseCollection(name, mtimeMs, open(), readers)
  if (entry.type === ENTRY_TYPE.file) {
    let content: FileContent | undefined
    const read = (offset: number, into: Uint8Array) => {
      content ??= new FileContent(entry, readers.blobs, readers.nodes)
      return content.readInto(offset, into)
    }
    return {
      kind: 'file',
      name,
      mtimeMs,
      byteCount: entry.size,
      tag: contentTag(entry),
      read: async (offset, into) => await read(offset, into),
    }
  }
  return await madeLink(child, parent, readers)
}

/** `latest`, which leads to its neighbour, is shown as what it leads to. */
async function madeLink(
  { name, entry, origin }: BrowseChild,
  parent: BrowseDirectory,
  readers: BrowseReaders,
): Promise<WebdavResource | undefined> {
  if (parent.isImmutable || entry.target === undefined) return undefined
  const target = byteString(entry.target)
  // Links that are made up have where they lead as their origin; those of backups a snapshot.
  if (origin !== target) return undefined
  const found = await parent.find(target)
  const open = found?.open
  return open === undefined ? undefined : browseCollection(name, msOf(entry.mtime), open(), readers)
}

/** Says which content a file has: its chunks have ids by content. */
function contentTag({ size, content, contentList }: TreeEntry): string {
  const hash = createHash('sha256').update(`${size} `)
  if (content !== undefined) hash.update(content)
  if (contentList !== undefined) hash.update(`list ${contentList.height} `).update(contentList.id)
  return hash.digest('hex').slice(0, 32)
}
