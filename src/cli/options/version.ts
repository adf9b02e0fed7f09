import { type Arguments, defineCommand } from '../command.ts'

export type VersionArguments = Arguments<typeof VERSION.options>

export const VERSION = defineCommand({
  name: 'version',
  operands: '',
  operandsMin: 0,
  operandsMax: 0,
  description: 'Prints the version of cairn and of the Node.js it runs on.',
  examples: [{ command: 'cairn version --json', meaning: 'for a program' }],
  options: {},
})
