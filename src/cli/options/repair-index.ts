import { type Arguments, defineCommand } from '../command.ts'
import { flag } from '../option.ts'

export type RepairIndexArguments = Arguments<typeof REPAIR_INDEX.options>

export const REPAIR_INDEX = defineCommand({
  name: 'repair index',
  operands: '',
  operandsMin: 0,
  operandsMax: 0,
  description:
    'Makes the index say what packs are there and what is in them, as the packs say it themselves. ' +
    'A sound index stays as it is.',
  examples: [{ command: 'cairn repair index', meaning: 'after damage that check has named' }],
  options: {
    'read-all-packs': flag('ask every pack, not only those in doubt'),
    'dry-run': flag('change nothing; show what would be done', { short: 'n' }),
  },
})
