import { type Arguments, defineCommand } from '../command.ts'

export type UndeleteArguments = Arguments<typeof UNDELETE.options>

export const UNDELETE = defineCommand({
  name: 'undelete',
  operands: '[SNAPSHOT...]',
  operandsMin: 0,
  operandsMax: Number.POSITIVE_INFINITY,
  description:
    'Brings back forgotten snapshots while no prune has removed their data, under new ids. Without ' +
    'an id it lists what could be brought back.',
  examples: [
    { command: 'cairn undelete', meaning: 'what was forgotten' },
    { command: 'cairn undelete 4f2a91c0', meaning: 'bring it back' },
  ],
  options: {},
})
