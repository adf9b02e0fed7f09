import { type Arguments, defineCommand } from '../command.ts'
import { flag, integer } from '../option.ts'

export type CacheArguments = Arguments<typeof CACHE.options>

export const CACHE = defineCommand({
  name: 'cache',
  operands: '',
  operandsMin: 0,
  operandsMax: 0,
  description:
    'Lists the caches of repositories on this machine, or removes those that have not been used for ' +
    'long. Removing a cache costs time only. One that a process works with is never removed.',
  examples: [
    { command: 'cairn cache', meaning: 'what there is, and how large' },
    {
      command: 'cairn cache --cleanup --max-age 7',
      meaning: 'remove what was not used for a week',
    },
  ],
  options: {
    cleanup: flag('remove old caches'),
    'max-age': integer('from how many days without use on a cache is old (default: 30)', 'days', {
      min: 0,
      max: 36_500,
    }),
    'no-size': flag('do not add up how large they are'),
  },
})
