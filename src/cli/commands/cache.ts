/** `cairn cache` */

import { CairnError, errorChain } from '../../base/errors.ts'
import { formatBytes, formatRfc3339Ns } from '../../base/units.ts'
import {
  type CacheOverview,
  DAY_MS,
  listCaches,
  MAX_AGE_DAYS,
  removeOldCaches,
} from '../../service/caches.ts'
import type { CommandContext } from '../command.ts'
import type { CacheArguments } from '../options/cache.ts'
import { writeJsonLine } from '../render/json-lines.ts'
import { printable } from '../render/printable.ts'
import { tableLines } from '../render/table.ts'

const ID_DIGITS = 10

function cacheTable({ root, caches }: CacheOverview, hasSize: boolean): string[] {
  const titles = ['Repo ID', 'Last Used', 'Old', ...(hasSize ? ['Size'] : [])]
  return tableLines({
    columns: titles.map((title) => ({ title })),
    rows: caches.map(({ repositoryId, ageMs, isOld, byteCount }) => [
      [repositoryId.slice(0, ID_DIGITS)],
      [`${Math.floor(ageMs / DAY_MS)} days ago`],
      [isOld ? 'yes' : ''],
      ...(byteCount === undefined ? [] : [[formatBytes(byteCount)]]),
    ]),
    footer: [`${caches.length} cache dirs in ${printable(root)}`],
  })
}

function showCaches(overview: CacheOverview, hasSize: boolean, context: CommandContext): void {
  const { root, caches } = overview
  if (context.json) {
    const rows = caches.map(({ repositoryId, usedMs, isOld, isInUse, byteCount }) => ({
      repository_id: repositoryId,
      last_used: formatRfc3339Ns(BigInt(Math.floor(usedMs)) * 1_000_000n),
      old: isOld,
      in_use: isInUse,
      size: byteCount,
    }))
    writeJsonLine(context.stdout, { directory: root, caches: rows })
  } else if (caches.length === 0) {
    context.stdout.write(`no cache dirs found, basedir is ${printable(root)}\n`)
  } else context.stdout.write(`${cacheTable(overview, hasSize).join('\n')}\n`)
}

export default async function cache(
  args: CacheArguments,
  context: CommandContext,
): Promise<number> {
  if (args.noCache)
    throw new CairnError('CAIRN_USAGE', "'cairn cache' and --no-cache exclude each other")
  const overview = listCaches({
    root: args.cacheDir,
    maxAgeDays: args.maxAge ?? MAX_AGE_DAYS,
    withSizes: !args.noSize && !args.cleanup,
  })
  if (!args.cleanup && !args.cleanupCache) {
    showCaches(overview, !args.noSize, context)
    return 0
  }
  const { removed, kept, failed } = removeOldCaches(overview)
  for (const { repositoryId, error } of failed) {
    context.warn(printable(`cannot remove the cache ${repositoryId}: ${errorChain(error)}`))
  }
  if (context.json) writeJsonLine(context.stdout, { message_type: 'summary', removed, kept })
  else if (!context.quiet) {
    for (const id of kept) context.stdout.write(`kept ${id.slice(0, ID_DIGITS)}: it is in use\n`)
    context.stdout.write(
      removed.length === 0
        ? 'no old cache dirs removed\n'
        : `removed ${removed.length} old cache dirs\n`,
    )
  }
  if (failed.length > 0) throw new CairnError('CAIRN_INCOMPLETE', 'not all old caches were removed')
  return 0
}
