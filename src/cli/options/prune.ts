import { parseSize } from '../../base/units.ts'
import { type Arguments, defineCommand } from '../command.ts'
import { duration, flag, integer, mapped, nonEmpty, size, usage } from '../option.ts'

export type UnusedLimitArgument =
  | { readonly kind: 'percent'; readonly percent: number }
  | { readonly kind: 'bytes'; readonly byteCount: number }
  | { readonly kind: 'unlimited' }

const UNUSED_PERCENT_DEFAULT = 5
const HOUR_MS = 3_600_000

function readUnused(value: string | undefined, spelling: string): UnusedLimitArgument {
  if (value === undefined) return { kind: 'percent', percent: UNUSED_PERCENT_DEFAULT }
  if (value === 'unlimited') return { kind: 'unlimited' }
  const percent = /^(\d{1,3}(?:\.\d+)?)%$/.exec(value)
  if (percent === null) return { kind: 'bytes', byteCount: parseSize(value) }
  if (Number(percent[1]) > 100) {
    throw usage(`'${value}' is not a value of ${spelling}: write at most 100%`)
  }
  return { kind: 'percent', percent: Number(percent[1]) }
}

function readGrace(value: number | undefined, spelling: string): number | undefined {
  if (value !== undefined && value < HOUR_MS) throw usage(`${spelling} needs at least one hour`)
  return value
}

/** Those of `prune` that `forget --prune` takes as well. */
export const PRUNE_OPTIONS = {
  'max-unused': mapped(
    nonEmpty('leave this much unused: a size, 5% of what remains, or unlimited', 'limit'),
    readUnused,
  ),
  'max-repack-size': size('repack no more than this'),
  'repack-cacheable-only': flag('repack only packs of directories and chunk lists'),
  'repack-small': flag('join packs below 80 % of the target size'),
  'repack-smaller-than': size('join packs below this size'),
  'repack-uncompressed': flag('compress packs that are not'),
  'unsafe-recover-no-free-space': flag('on a full disk: only remove, and packs before index files'),
  grace: mapped(
    duration(
      'how long marked packs stay while others are at work (default: what the config says, 24h)',
    ),
    readGrace,
  ),
}

export type PruneArguments = Arguments<typeof PRUNE.options>

export const PRUNE = defineCommand({
  name: 'prune',
  operands: '',
  operandsMin: 0,
  operandsMax: 0,
  description:
    'Removes data that no snapshot needs any more, after forget. Backups may run meanwhile: what ' +
    'they might rely on is only marked then, and removed by a prune after the grace period.',
  whenInterrupted: 'nothing that is needed is gone; the next prune goes on',
  examples: [
    { command: 'cairn prune --dry-run', meaning: 'what would be done' },
    { command: 'cairn prune --max-unused 0', meaning: 'free all that can be freed' },
  ],
  options: {
    'dry-run': flag('remove nothing; show what would be done', { short: 'n' }),
    ...PRUNE_OPTIONS,
    jobs: integer('use n workers instead of one for each core', 'n', { min: 1, max: 1024 }),
  },
})
