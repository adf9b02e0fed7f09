import { type Arguments, defineCommand } from '../command.ts'

export type DoctorArguments = Arguments<typeof DOCTOR.options>

export const DOCTOR = defineCommand({
  name: 'doctor',
  operands: '[DIRECTORY]',
  operandsMin: 0,
  operandsMax: 1,
  description:
    'Says what this machine offers: Node.js, the native parts or their fallbacks, FUSE, cores, memory, ' +
    'the clock, the cache, and what files in the directory (by default the current one) can have. ' +
    'Exits with 1 if cairn cannot work.',
  examples: [{ command: 'cairn doctor /mnt/disk', meaning: 'would it do for a restore?' }],
  options: {},
})
