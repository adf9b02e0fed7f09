/** Opens a repository for looking around in it: for `mount` and `serve webdav`. */

import { type Browser, openBrowser } from '../../engine/browse/open-browser.ts'
import type { BrowseDirectory } from '../../engine/browse/browse-node.ts'
import type { SnapshotFilter } from '../../engine/snapshot-filter.ts'
import { requireReader } from '../../repository/keyring.ts'
import type { Repository } from '../../repository/repository.ts'
import { timeOf } from '../../repository/time.ts'
import type { Access } from '../access.ts'
import { browseRoot, type Made, type Owner } from './browse-root.ts'
import { SnapshotCatalog } from './snapshot-catalog.ts'

export interface BrowsingRequest {
  readonly filter: SnapshotFilter
  readonly templates: readonly string[]
  readonly timeTemplate: string
  /** For decoded segments. */
  readonly cacheBytes: number
  /** To whom directories belong that are in no snapshot; by default who runs this. */
  readonly owner?: Owner
}

export interface Browsing extends Browser {
  readonly repository: Repository
  readonly catalog: SnapshotCatalog
  readonly root: BrowseDirectory
  readonly made: Made
}

/** `what` is what cannot be done without the right to read, for the message. */
export async function openBrowsing(
  access: Access,
  what: string,
  request: BrowsingRequest,
): Promise<Browsing> {
  const { seams, signal } = access
  const opening = access.open().then((opened) => {
    requireReader(opened.keyring, what)
    return opened
  })
  const browser = await openBrowser({
    environment: seams,
    repository: opening,
    cacheDirectory: async () => {
      const cache = await access.cache()
      return cache === undefined ? undefined : `${cache.path}/index`
    },
    cacheBytesMax: request.cacheBytes,
    signal,
  })
  const repository = await opening
  const { filter, templates, timeTemplate } = request
  const catalog = new SnapshotCatalog({
    repository,
    filter,
    signal,
    // What was opened a moment ago knows the packs of the snapshots listed now.
    onNew: unlessFirst(() => browser.refresh()),
  })
  const { uid, gid } = repository.process
  const owner = request.owner ?? { uid, gid }
  const made = { owner, madeAt: timeOf(repository.clock.wallNs()) }
  const root = browseRoot({
    nodes: browser.nodes,
    snapshots: () => catalog.snapshots(),
    nowNs: () => repository.clock.wallNs(),
    templates,
    timeTemplate,
    ...made,
  })
  return { ...browser, repository, catalog, root, made }
}

function unlessFirst(action: () => Promise<void>): () => Promise<void> {
  let isFirst = true
  return async () => {
    if (isFirst) isFirst = false
    else await action()
  }
}
