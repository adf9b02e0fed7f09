/** `cairn recover` */

import { CairnError } from '../../base/errors.ts'
import { shortId } from '../../base/ids.ts'
import { openRepositoryAccess } from '../../service/access.ts'
import { type RecoveredTrees, runRecover } from '../../service/recover.ts'
import type { CommandContext } from '../command.ts'
import type { RecoverArguments } from '../options/recover.ts'
import { writeJsonLine } from '../render/json-lines.ts'
import { programVersion } from './version.ts'

export default async function recover(
  args: RecoverArguments,
  context: CommandContext,
): Promise<number> {
  const { json, quiet, stdout } = context
  const say = (line: string) => {
    if (!json && !quiet) stdout.write(`${line}\n`)
  }
  const access = await openRepositoryAccess(args, context)
  let report: RecoveredTrees
  try {
    report = await runRecover(access, {
      program: `cairn ${programVersion()}`,
      onFound: (count) => say(`found ${count} trees that no snapshot refers to`),
    })
  } finally {
    await access.close()
  }
  const { rootCount, snapshotId, lostCount } = report
  if (json) {
    const fields = { trees: rootCount, lost_blobs: lostCount }
    const id = snapshotId === undefined ? {} : { snapshot_id: snapshotId }
    writeJsonLine(stdout, { message_type: 'summary', ...fields, ...id })
  } else if (snapshotId !== undefined) say(`snapshot ${shortId(snapshotId)} saved`)
  if (lostCount > 0) {
    throw new CairnError(
      'CAIRN_INCOMPLETE',
      `${lostCount} blobs of what was recovered are missing; 'cairn check' names what needs them`,
    )
  }
  return 0
}
