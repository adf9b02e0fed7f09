import { type Arguments, defineCommand } from '../command.ts'
import { flag } from '../option.ts'

export type UnlockArguments = Arguments<typeof UNLOCK.options>

export const UNLOCK = defineCommand({
  name: 'unlock',
  operands: '',
  operandsMin: 0,
  operandsMax: 0,
  description:
    'Removes what runs have left that were killed. There are no locks, so nothing ever has to be ' +
    'unlocked for another command to work; but until a dead session is known to be dead, a prune ' +
    'waits for it.',
  examples: [{ command: 'cairn unlock', meaning: 'only what is certainly dead' }],
  options: {
    'remove-all': flag('also sessions that may be running; make sure that none is'),
  },
})
