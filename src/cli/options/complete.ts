import { type Arguments, defineCommand } from '../command.ts'

export type CompleteArguments = Arguments<typeof COMPLETE.options>

export const COMPLETE = defineCommand({
  name: '__complete',
  operands: '-- WORD...',
  operandsMin: 0,
  operandsMax: Number.POSITIVE_INFINITY,
  description: 'Answers the scripts of cairn completion.',
  examples: [{ command: 'cairn __complete -- back', meaning: 'what begins so' }],
  options: {},
  onlyShows: true,
})
