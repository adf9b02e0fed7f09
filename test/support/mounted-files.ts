/** The file system that a mount shows, on a built repository: as the kernel would ask it. */

import { StoredDirectory } from '../../src/engine/browse/browse-node.ts'
import type { NodeRoot } from '../../src/format/tree.ts'
import { readXattrsOf } from '../../src/service/browse/entry-xattrs.ts'
import { MountedFiles } from '../../src/service/mount/mounted-files.ts'
import { browserOf } from './open-browser.ts'
import { type RepositoryBuilder, TEST_TIME } from './repository-builder.ts'

/** A tree of the builder's, as the root. */
export async function mountedFilesOf(
  builder: RepositoryBuilder,
  root: NodeRoot,
): Promise<MountedFiles> {
  const { repository } = await builder.finish(root)
  const { blobs, nodes } = await browserOf(repository)
  return new MountedFiles({
    root: new StoredDirectory(root, nodes, 'snapshot'),
    blobs,
    nodes,
    owner: { uid: 1, gid: 2 },
    madeAt: TEST_TIME,
    ownerRoot: false,
    statfs: () => ({ byteCount: 0, fileCount: 0 }),
    xattrs: (entry) => readXattrsOf(entry, blobs),
  })
}
