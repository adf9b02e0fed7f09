import { type Arguments, defineCommand } from '../command.ts'
import { flag } from '../option.ts'
import { FILTER_OPTIONS } from '../options.ts'

export type RepairSnapshotsArguments = Arguments<typeof REPAIR_SNAPSHOTS.options>

export const REPAIR_SNAPSHOTS = defineCommand({
  name: 'repair snapshots',
  operands: '[SNAPSHOT...]',
  operandsMin: 0,
  operandsMax: Number.POSITIVE_INFINITY,
  description:
    'Puts restorable snapshots in the place of those that have lost data. What has lost something gets ' +
    "a name that ends in '.cairn-damaged', lost parts of a file become holes, and the new snapshot is " +
    "tagged 'repaired'. Run 'repair index' first, and a backup, which may bring lost data back.",
  examples: [
    { command: 'cairn repair snapshots --dry-run', meaning: 'what has lost something' },
    { command: 'cairn repair snapshots --forget', meaning: 'and forget the damaged ones' },
  ],
  options: {
    forget: flag('forget the damaged snapshots'),
    'dry-run': flag('change nothing; show what would be done', { short: 'n' }),
    ...FILTER_OPTIONS,
  },
})
