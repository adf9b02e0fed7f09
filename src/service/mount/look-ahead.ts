/**
 * Looks at a directory as `ls -l` does by way of the kernel, so that what it takes has been read and
 * decoded before anybody waits for it.
 */

import type { ByteString } from '../../base/bytes.ts'
import type { DirectoryRow, FuseFileSystem } from '../../fuse/file-system.ts'
import { ROOT_NODE } from './known-directories.ts'

/** Who lists more has to wait anyway. */
const ROWS_MAX = 256

/** Ends early where there is no such directory; rejects with what whoever looks there will meet. */
export async function lookAhead(files: FuseFileSystem, path: readonly ByteString[]): Promise<void> {
  /** What counts as looked up, as a kernel would count it. */
  const nodes: number[] = []
  try {
    let directory = ROOT_NODE
    for (const name of path) {
      const { node } = await files.lookup(directory, name)
      if (node === 0) return
      nodes.push(node)
      directory = node
    }
    await list(files, directory, nodes)
    for (const node of nodes) await files.xattrNames(node)
  } finally {
    for (const node of nodes) files.forget(node, 1)
  }
}

async function list(files: FuseFileSystem, directory: number, nodes: number[]): Promise<void> {
  const { handle } = await files.openDirectory(directory)
  let rowsLeft = ROWS_MAX
  const add = ({ name, entry }: DirectoryRow) => {
    if (name !== '.' && name !== '..') nodes.push(entry().node)
    return --rowsLeft > 0
  }
  try {
    await files.readDirectory(handle, 0, { add })
  } finally {
    files.releaseDirectory(handle)
  }
}
