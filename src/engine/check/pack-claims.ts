/**
 * Loads the index files and holds them against the listing of packs (FORMAT.md 10). Two index files
 * may claim different things about one pack; each claim is checked.
 */

import { equalBytes } from '../../base/bytes.ts'
import { CairnError, errorChain } from '../../base/errors.ts'
import { type FileName, shortId } from '../../base/ids.ts'
import { decodeIndexFile, type IndexedPack } from '../../format/index-file.ts'
import { MemoryIndex } from '../../pipeline/index/memory-index.ts'
import { isSameClaim } from '../../pipeline/index/pack-table.ts'
import { type CheckContext, readTwice } from './check-context.ts'
import { fileLabel, listFolder, reportDamage } from './check-objects.ts'
import type { FindingList } from './finding.ts'

export interface PackClaims {
  readonly index: MemoryIndex
  readonly listed: ReadonlyMap<FileName, number>
  /** By pack: what the index files say, without repetitions. */
  readonly claims: ReadonlyMap<FileName, readonly IndexedPack[]>
  /** Listed, but named by no index file. */
  readonly orphans: readonly FileName[]
  /** Named by an index file, but not listed. */
  readonly missing: readonly FileName[]
}

/** How often to start anew if index files are replaced meanwhile. */
const ATTEMPTS_MAX = 3

interface IndexFiles {
  readonly loaded: ReadonlyMap<FileName, readonly IndexedPack[]>
  readonly damage: readonly (() => void)[]
}

/** A pack that a prune has removed is named by no index file that is still there. */
export async function loadClaims(context: CheckContext): Promise<PackClaims> {
  for (let attempt = 1; ; attempt++) {
    const files = await loadIndexFiles(context)
    const listed = await context.repository.listPacks(context.signal)
    const claims = claimsOf(files.loaded)
    const isComplete = [...claims.keys()].every((name) => listed.has(name))
    if (isComplete || attempt === ATTEMPTS_MAX || !(await hasChanged(context, files))) {
      for (const report of files.damage) report()
      return await withIndex(context, claims, listed)
    }
  }
}

async function hasChanged({ repository, signal }: CheckContext, { loaded }: IndexFiles) {
  const files = await repository.backend.list('index', { signal })
  const names = new Set(files.map(({ name }) => name))
  return [...loaded.keys()].some((name) => !names.has(name))
}

async function loadIndexFiles(context: CheckContext): Promise<IndexFiles> {
  const { repository, signal } = context
  const loaded = new Map<FileName, readonly IndexedPack[]>()
  const damage: (() => void)[] = []
  for (const name of await listFolder(context, 'index')) {
    const entries: (() => void)[] = []
    const packs = await readTwice(context, async () => {
      entries.length = 0
      const object = await repository.loadObject('index', name, signal)
      if (object === undefined) return undefined
      return decodeIndexFile(object.body, (pack, error) =>
        entries.push(() => reportEntry(context, name, pack, error)),
      ).packs
    })
    if (packs instanceof CairnError) damage.push(() => reportDamage(context, 'index', name, packs))
    else if (packs !== undefined) loaded.set(name, packs)
    damage.push(...entries)
  }
  return { loaded, damage }
}

function reportEntry({ findings }: CheckContext, file: FileName, pack: FileName, error: unknown) {
  findings.suggestRepairIndex = true
  findings.error(
    { kind: 'index', name: file },
    `${fileLabel('index', file)}: its entry of pack ${shortId(pack)} is damaged: ${errorChain(error)}`,
    "run 'cairn repair index'",
  )
}

function claimsOf(files: IndexFiles['loaded']): Map<FileName, IndexedPack[]> {
  const claims = new Map<FileName, IndexedPack[]>()
  for (const packs of files.values()) {
    for (const pack of packs) {
      const known = claims.get(pack.name)
      if (known === undefined) claims.set(pack.name, [pack])
      else if (!known.some((other) => isSame(other, pack))) known.push(pack)
    }
  }
  return claims
}

function isSame(a: IndexedPack, b: IndexedPack): boolean {
  return isSameClaim(a, b) && equalBytes(a.directory.bytes, b.directory.bytes)
}

async function withIndex(
  { repository, findings }: CheckContext,
  claims: ReadonlyMap<FileName, readonly IndexedPack[]>,
  listed: ReadonlyMap<FileName, number>,
): Promise<PackClaims> {
  const packs = [...claims.values()].flat()
  const blobCount = packs.reduce((sum, { directory }) => sum + directory.blobCount, 0)
  const seed = Buffer.from(repository.random.bytes(4)).readUInt32LE(0)
  const index = new MemoryIndex(blobCount, seed)
  await index.add(packs)
  index.setStates(listed, new Set())
  for (const [name, same] of claims) reportLength(findings, name, same, listed.get(name))
  const orphans = [...listed.keys()].filter((name) => !claims.has(name)).sort()
  const missing = [...claims.keys()].filter((name) => !listed.has(name)).sort()
  return { index, listed, claims, orphans, missing }
}

/** A pack whose length no index file has. */
function reportLength(
  findings: FindingList,
  name: FileName,
  claims: readonly IndexedPack[],
  byteCount: number | undefined,
): void {
  if (byteCount === undefined) return
  if (claims.every((claim) => claim.byteCount === byteCount)) return
  findings.suggestRepairIndex = true
  const lengths = [...new Set(claims.map((claim) => claim.byteCount))].join(' or ')
  findings.error(
    { kind: 'packs', name },
    `pack ${shortId(name)} has ${byteCount} bytes where the index says ${lengths}`,
    "run 'cairn repair index', then back up again",
  )
  findings.brokenPacks.add(name)
}
