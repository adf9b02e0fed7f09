/**
 * Opens what readers that come back read through: the index, workers that decode, and the caches of
 * what was decoded. For mounts and servers.
 */

import { waitAtMost } from '../../base/wait-at-most.ts'
import { openPool, type WorkPool } from '../../pipeline/work-pool.ts'
import { type OpenedIndex, openIndex } from '../../repository/open-index.ts'
import type { Repository } from '../../repository/repository.ts'
import { type Environment, workEnvironment } from '../environment.ts'
import { BlobCache } from './blob-cache.ts'
import { NodeCache } from './node-cache.ts'

const THREADS_WAIT_MS = 1_000

export interface BrowserOptions {
  readonly environment: Environment
  /** May still be on its way. */
  readonly repository: Repository | Promise<Repository>
  /** A folder of this repository's cache; undefined keeps the index in memory. */
  readonly cacheDirectory: () => Promise<string | undefined>
  /** For decoded segments. */
  readonly cacheBytesMax: number
  readonly signal: AbortSignal
}

export interface Browser {
  readonly blobs: BlobCache
  readonly nodes: NodeCache
  /** Reads the index anew: afterwards blobs of newer snapshots are found. */
  refresh(): Promise<void>
  /** The bytes of all packs, as listed when the index was read. */
  storedBytes(): number
  close(): Promise<void>
}

/**
 * Workers that decode data, and a pool without any, which decodes trees on this thread. The workers
 * load their code while the repository is still on its way: while keys are derived.
 */
async function openSegmentPools({ environment, repository }: BrowserOptions) {
  const init = Promise.resolve(repository).then(({ keyring: { ids } }) => ({
    idKeys: { data: ids.data, metadata: ids.metadata },
  }))
  let upCount = 0
  let onAllUp = () => {}
  const allUp = new Promise<void>((resolve) => {
    onAllUp = resolve
  })
  const poolOf = (threads: number) =>
    openPool({
      purpose: 'segment',
      init,
      threads,
      environment: workEnvironment(environment),
      entry: environment.workerEntry,
      onNote: () => {
        if (++upCount >= threads) onAllUp()
      },
    })
  const pool = await poolOf(environment.threads)
  let inlinePool: WorkPool<'segment'>
  try {
    inlinePool = await poolOf(0)
  } catch (error) {
    await pool.close()
    throw error
  }
  pool.send('up')
  return {
    pool,
    inlinePool,
    /** Who reads first is not to wait for threads that load their code; nor for ones that never come. */
    untilUp: () => waitAtMost(THREADS_WAIT_MS, allUp, environment.clock),
    close: async () => {
      await pool.close()
      await inlinePool.close()
    },
  }
}

export async function openBrowser(options: BrowserOptions): Promise<Browser> {
  const { cacheBytesMax, signal } = options
  const { pool, inlinePool, untilUp, close: closePools } = await openSegmentPools(options)
  const repository = await options.repository
  const open = async () => {
    const cacheDirectory = await options.cacheDirectory()
    return await openIndex(repository, { cacheDirectory, bulk: false, readOrphans: true, signal })
  }
  let opened: OpenedIndex
  try {
    opened = await open()
  } catch (error) {
    await closePools()
    throw error
  }
  let refreshing: Promise<void> | undefined
  const reopen = async () => {
    const fresh = await open()
    const old = opened
    opened = fresh
    blobs.useIndex(fresh.index)
    await old.close()
  }
  const refresh = () => {
    refreshing ??= reopen().finally(() => {
      refreshing = undefined
    })
    return refreshing
  }
  const blobs = new BlobCache({
    repository,
    index: opened.index,
    pool,
    inlinePool,
    cacheBytesMax,
    refresh,
    signal,
  })
  await untilUp()
  return {
    blobs,
    nodes: new NodeCache(blobs),
    refresh,
    storedBytes: () => [...opened.listed.values()].reduce((sum, byteCount) => sum + byteCount, 0),
    close: async () => {
      await closePools()
      await refreshing?.catch(() => {}) // Its failure was met by who asked for it.
      await opened.close()
    },
  }
}
