/** `cairn doctor` */

import { CairnError } from '../../base/errors.ts'
import { type Check, examineMachine } from '../../service/doctor.ts'
import type { CommandContext } from '../command.ts'
import type { DoctorArguments } from '../options/doctor.ts'
import { writeJsonLine } from '../render/json-lines.ts'
import { printable } from '../render/printable.ts'
import { tableLines } from '../render/table.ts'

function checkTable(checks: readonly Check[]): string[] {
  return tableLines({
    columns: ['', 'Part', 'Found', 'Advice'].map((title) => ({ title })),
    rows: checks.map(({ verdict, name, found, advice }) =>
      [verdict, name, found, advice].map((text) => [printable(text)]),
    ),
  })
}

export default async function doctor(
  args: DoctorArguments,
  context: CommandContext,
): Promise<number> {
  const [directory = '.'] = args.operands
  const { environment, json, quiet, stdout } = context
  const checks = await examineMachine({ directory, cacheDir: args.cacheDir, environment })
  if (json)
    writeJsonLine(stdout, { message_type: 'doctor', checks: checks.map((one) => ({ ...one })) })
  else {
    const shown = quiet ? checks.filter(({ verdict }) => verdict !== 'ok') : checks
    if (shown.length > 0) stdout.write(`${checkTable(shown).join('\n')}\n`)
  }
  const problems = checks.filter(({ verdict }) => verdict === 'problem').map(({ name }) => name)
  if (problems.length === 0) return 0
  throw new CairnError('CAIRN_FAILED', `cairn cannot work here: see ${problems.join(', ')}`)
}
