/** `restore`: from the arguments to the engine. */

import { resolve } from 'node:path'
import { byteStringOf, type ByteString } from '../base/bytes.ts'
import { CairnError } from '../base/errors.ts'
import { partsOf } from '../base/paths.ts'
import { restoreSnapshot } from '../engine/restore/restore.ts'
import type {
  OverwritePolicy,
  RestoreListener,
  RestoreReport,
} from '../engine/restore/restore-options.ts'
import type { AtMode } from '../engine/snapshot-reference.ts'
import type { SnapshotFilter } from '../engine/snapshot-filter.ts'
import { ENTRY_TYPE, type NodeRoot } from '../format/tree.ts'
import { EarlyRestoreThreads } from '../engine/restore/worker-pool.ts'
import { BlobReader } from '../repository/blob-reader.ts'
import { openIndex } from '../repository/open-index.ts'
import { findEntry } from '../repository/tree-reader.ts'
import type { Access } from './access.ts'
import { ownersByName } from './map-owners.ts'
import type { RestorePatterns } from './restore-patterns.ts'
import { keptPlacesIn, placesOf } from './restore-places.ts'
import { type FoundSnapshot, findSnapshot } from './select-snapshots.ts'

export type { RestoreListener, RestoreReport }

/** As the command line has them. */
export interface RestoreArguments {
  readonly operands: readonly string[]
  readonly target: string | undefined
  readonly include: readonly string[]
  readonly iinclude: readonly string[]
  readonly includeFile: readonly string[]
  readonly iincludeFile: readonly string[]
  readonly exclude: readonly string[]
  readonly iexclude: readonly string[]
  readonly excludeFile: readonly string[]
  readonly iexcludeFile: readonly string[]
  readonly includeXattr: readonly string[]
  readonly excludeXattr: readonly string[]
  readonly ownershipByName: boolean
  readonly overwrite: OverwritePolicy | undefined
  readonly delete: boolean
  readonly dryRun: boolean
  readonly sparse: boolean
  readonly verify: boolean
  readonly at: string | undefined
  readonly atMode: AtMode | undefined
}

export interface RestoreRequest {
  readonly args: RestoreArguments
  readonly filter: SnapshotFilter
  readonly patterns: RestorePatterns
  readonly onSnapshot: (found: FoundSnapshot) => void
  readonly listener: RestoreListener
}

interface RestoreRoot {
  readonly root: NodeRoot
  readonly path: ByteString
}

async function rootOf(blobs: BlobReader, found: FoundSnapshot): Promise<RestoreRoot> {
  const { root } = found.snapshot.content
  const components = partsOf(byteStringOf(found.subpath ?? ''))
  if (components.length === 0) return { root, path: '/' }
  const path = `/${components.join('/')}`
  const entry = await findEntry(blobs, root, components)
  if (entry === undefined) {
    throw new CairnError(
      'CAIRN_FAILED',
      `cannot restore '${found.subpath}': the snapshot has no such path`,
    )
  }
  if (entry.type !== ENTRY_TYPE.directory || entry.subtree === undefined) {
    throw new CairnError(
      'CAIRN_FAILED',
      `cannot restore '${found.subpath}': it is not a directory; name its directory and use --include`,
    )
  }
  return { root: entry.subtree, path }
}

export async function runRestore(access: Access, request: RestoreRequest): Promise<RestoreReport> {
  const threads = request.args.dryRun ? undefined : EarlyRestoreThreads.start(access.seams)
  try {
    return await restoreWith(access, request, threads)
  } finally {
    await threads?.close()
  }
}

async function restoreWith(
  access: Access,
  request: RestoreRequest,
  threads: EarlyRestoreThreads | undefined,
): Promise<RestoreReport> {
  const { args, filter, listener } = request
  const { include, exclude } = request.patterns
  const target = resolve(args.target ?? '')
  const keptPlaces = keptPlacesIn(target, access)
  const repository = await access.open()
  const found = await findSnapshot(repository, args.operands[0] ?? '', {
    filter,
    at: args.at,
    atMode: args.atMode,
    signal: access.signal,
  })
  request.onSnapshot(found)
  const cache = await access.cache()
  const opened = await openIndex(repository, {
    cacheDirectory: cache === undefined ? undefined : `${cache.path}/index`,
    bulk: true,
    readOrphans: true,
    signal: access.signal,
  })
  try {
    const blobs = new BlobReader(repository, opened.index)
    const { root, path } = await rootOf(blobs, found)
    if (args.delete && keptPlaces.length > 0) {
      access.warn(`the repository lies inside the target and is left as it is: ${access.path}`)
    }
    return await restoreSnapshot({
      environment: access.seams,
      ...(threads === undefined ? {} : { threads }),
      repository,
      index: opened.index,
      blobs,
      root,
      rootPath: path,
      sourcePaths: args.delete ? await placesOf(access, blobs, found) : [],
      keptPlaces,
      target: byteStringOf(target),
      ...(include.length === 0 ? {} : { include }),
      ...(exclude.length === 0 ? {} : { exclude }),
      xattrPatterns: {
        include: args.includeXattr.map(byteStringOf),
        exclude: args.excludeXattr.map(byteStringOf),
      },
      ...(args.ownershipByName ? { mapOwner: ownersByName(found.snapshot.content) } : {}),
      overwrite: args.overwrite ?? 'always',
      dryRun: args.dryRun,
      verify: args.verify,
      sparse: args.sparse,
      delete: args.delete,
      signal: access.signal,
      listener,
    })
  } finally {
    await opened.close()
  }
}
