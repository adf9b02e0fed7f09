import { type Arguments, defineCommand } from '../command.ts'

export type RecoverArguments = Arguments<typeof RECOVER.options>

export const RECOVER = defineCommand({
  name: 'recover',
  operands: '',
  operandsMin: 0,
  operandsMax: 0,
  description:
    'Makes a snapshot of every tree that no snapshot refers to: what is left of snapshots that are ' +
    "lost. What was forgotten is brought back by 'cairn undelete'.",
  examples: [{ command: 'cairn recover', meaning: 'then look into it: cairn ls latest' }],
  options: {},
})
