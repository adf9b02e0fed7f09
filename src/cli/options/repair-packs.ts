import { type Arguments, defineCommand } from '../command.ts'
import { flag, integer } from '../option.ts'

export type RepairPacksArguments = Arguments<typeof REPAIR_PACKS.options>

export const REPAIR_PACKS = defineCommand({
  name: 'repair packs',
  operands: '[PACK...]',
  operandsMin: 0,
  operandsMax: Number.POSITIVE_INFINITY,
  description:
    'Copies what can be read of damaged packs to new ones and removes the damaged ones. Without ' +
    'names every pack is read to find them. Keep a copy of a damaged pack if it may be mended elsewhere.',
  examples: [
    { command: 'cairn repair packs --dry-run', meaning: 'which packs are damaged' },
    { command: 'cairn repair packs 3fa9c1d2', meaning: 'this one' },
  ],
  options: {
    'dry-run': flag('change nothing; show what would be done', { short: 'n' }),
    jobs: integer('use n workers instead of one for each core', 'n', { min: 1, max: 1024 }),
  },
})
