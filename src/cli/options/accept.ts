import { type Arguments, defineCommand } from '../command.ts'

export type AcceptArguments = Arguments<typeof ACCEPT.options>

export const ACCEPT = defineCommand({
  name: 'accept',
  operands: '[ID...]',
  operandsMin: 0,
  operandsMax: Number.POSITIVE_INFINITY,
  description:
    'Acknowledges, by name, what the storage has lost, taken away or rolled back. Until then every ' +
    'command warns of it, check counts it as an error, and prune refuses. Without an id it lists it.',
  examples: [
    { command: 'cairn accept', meaning: 'what is missing' },
    { command: 'cairn accept 4f2a91c0', meaning: 'one of them will not come back' },
  ],
  options: {},
})
