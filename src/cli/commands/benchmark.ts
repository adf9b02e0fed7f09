/** `cairn benchmark` */

import { benchmark as measure } from '../../service/benchmark.ts'
import type { CommandContext } from '../command.ts'
import type { BenchmarkArguments } from '../options/benchmark.ts'
import { COMPRESSION_LEVELS } from '../options.ts'
import { writeJsonLine } from '../render/json-lines.ts'

const STAGE_MS = 1000
const LEVEL_IF_OFF = 3

export default async function benchmark(
  args: BenchmarkArguments,
  context: CommandContext,
): Promise<number> {
  const { json, stdout, signal } = context
  const [directory = '.'] = args.operands
  const level = COMPRESSION_LEVELS[args.compression ?? 'auto'] ?? LEVEL_IF_OFF
  const stageMs = args.stageTime ?? STAGE_MS
  for await (const speed of measure({ directory, stageMs, level, signal })) {
    const megabytes = speed.bytesPerSecond / 1e6
    if (json) {
      writeJsonLine(stdout, {
        message_type: 'stage',
        stage: speed.stage,
        implementation: speed.implementation,
        bytes_per_second: Math.round(speed.bytesPerSecond),
      })
    } else {
      const number = megabytes.toFixed(megabytes < 100 ? 1 : 0).padStart(8)
      stdout.write(`${speed.stage.padEnd(24)}${number} MB/s  ${speed.implementation}\n`)
    }
  }
  return 0
}
