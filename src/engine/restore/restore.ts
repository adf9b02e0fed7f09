/**
 * Restores a snapshot, or a directory of it, into a directory of the file system.
 *
 * The tree is walked once and restored in windows of bounded size: directories first, then files in
 * the order in which packs hold them, then links, then the metadata of directories, deepest first.
 * What is wrong with one entry is told and does not stop the others; nothing outside the target is
 * ever touched; a file appears under its name only when it is whole and every blob of it had its id.
 * What a killed restore has left is cleared away by the next, which keeps the files that are whole.
 */

import { textOf } from '../../base/bytes.ts'
import { CairnError, isCairnError, throwIfAborted } from '../../base/errors.ts'
import type { Target } from '../../source/target-files.ts'
import { cleanPath } from '../../source/patterns.ts'
import { xattrSelector } from '../../source/target-xattrs.ts'
import { Directories } from './directories.ts'
import { KeptPlaces } from './kept-places.ts'
import { Reporter } from './report.ts'
import { type RestoreContext, setFlagsOfLinks } from './restore-context.ts'
import type { RestoreOptions, RestoreReport } from './restore-options.ts'
import { Selection } from './selection.ts'
import { Walk } from './walk.ts'
import { WindowRunner } from './window-runner.ts'
import { RestoreWorkers } from './worker-pool.ts'

export async function restoreSnapshot(options: RestoreOptions): Promise<RestoreReport> {
  throwIfAborted(options.signal)
  const selection = new Selection(options)
  if (options.delete && cleanPath(options.target) === '/' && selection.isEverything) {
    throw new CairnError(
      'CAIRN_USAGE',
      "cannot restore to '/' and delete what the snapshot does not have: name what to include",
    )
  }
  const reporter = new Reporter(options.listener, options.environment.clock)
  const selectsXattr = xattrSelector(options.xattrPatterns ?? { include: [], exclude: [] })
  const target = openTarget(options)
  try {
    const kept = new KeptPlaces(options.keptPlaces)
    const parts = { options, reporter, target, kept, selectsXattr }
    const context: RestoreContext = { ...parts, flaggedLinks: [] }
    await restoreInto(context, selection)
    return reporter.report()
  } finally {
    target?.close()
  }
}

/** A dry run does not even make the target. */
function openTarget({ environment, target, dryRun }: RestoreOptions): Target | undefined {
  if (dryRun && environment.source.lstat(target) === undefined) return undefined
  try {
    return environment.target.openTarget(target)
  } catch (cause) {
    if (isCairnError(cause)) throw cause
    const message = `cannot use '${textOf(target)}' as the directory to restore to`
    throw new CairnError('CAIRN_FAILED', message, { cause })
  }
}

async function restoreInto(context: RestoreContext, selection: Selection): Promise<void> {
  const { options, target } = context
  const directories = new Directories(context, selection)
  const workers = new RestoreWorkers(options, target)
  const runner = new WindowRunner(context, directories, workers)
  const cancel = () => workers.cancel()
  options.signal?.addEventListener('abort', cancel)
  if (!options.dryRun) workers.start()
  try {
    const onWindow = (window: Parameters<WindowRunner['take']>[0]) => runner.take(window)
    await new Walk({ context, directories, selection, onWindow }).run()
    await runner.finish()
    setFlagsOfLinks(context)
  } catch (error) {
    workers.cancel()
    throw error
  } finally {
    // Files that are taken back are closed: nobody may still be writing into them then.
    await workers.close()
    await runner.stop()
    options.signal?.removeEventListener('abort', cancel)
  }
}
