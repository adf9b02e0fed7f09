import { type Arguments, defineCommand } from '../command.ts'
import { duration } from '../option.ts'

export type BenchmarkArguments = Arguments<typeof BENCHMARK.options>

export const BENCHMARK = defineCommand({
  name: 'benchmark',
  operands: '[DIRECTORY]',
  operandsMin: 0,
  operandsMax: 1,
  description:
    'Measures how fast one core of this machine does each stage of a backup, with a file of 16 MiB ' +
    'in the directory (by default the current one) and with data that zstd can halve. A backup ' +
    'does these stages one after the other, on all cores.',
  examples: [
    { command: 'cairn benchmark', meaning: 'takes about eight seconds' },
    { command: 'cairn benchmark --compression max /mnt/disk', meaning: 'how slow is level 19?' },
  ],
  options: {
    'stage-time': duration('how long to measure each stage (default: 1s)'),
  },
})
