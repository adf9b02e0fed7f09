/** Restores the further names of files with several, once their first one is there. */

import type { RestoreContext } from './restore-context.ts'
import type { LinkTask, Window } from './window.ts'

/** The file system has no hard links, or no more of them: the name gets a copy. */
const COPY_CODES = new Set(['EPERM', 'EMLINK', 'ENOTSUP', 'EOPNOTSUPP', 'EXDEV', 'ENOSYS'])

/** What cannot be linked is added to `again`, to be restored with its own content. */
export function restoreLinks(
  context: RestoreContext,
  links: readonly LinkTask[],
  again: Window,
): void {
  for (const link of links) {
    const { first } = link
    const isThere = first.task.state === 'restored' || first.task.state === 'kept'
    if (isThere && makeLink(context, link)) continue
    if (link.state !== 'pending') continue
    if (!isThere && first.task.state === 'failed') {
      // This one takes the place of the first; those that come after are linked to it.
      first.task = link
      again.add(link)
    } else if (isThere) again.add(link)
    else again.addLink(link)
    if (!again.left.includes(link.directory)) again.leave(link.directory)
  }
}

/** False if the file is to be restored with its content instead, or has failed. */
function makeLink(context: RestoreContext, link: LinkTask): boolean {
  const { options, reporter, target } = context
  const { first } = link
  try {
    if (target !== undefined && !options.dryRun) {
      const existing = link.replaces ? target.lstat(link.path) : undefined
      const wanted = target.lstat(first.task.path)
      const isLinked =
        existing !== undefined && existing.ino === wanted?.ino && existing.dev === wanted.dev
      if (isLinked) {
        link.state = 'kept'
        reporter.keep(link.path, 0)
        return true
      }
      if (existing !== undefined && link.besidePath !== undefined) {
        link.path = link.besidePath
        link.replaces = false
      }
      target.makeHardLink(link.path, first.task.path, { overwrite: link.replaces })
    }
    link.state = 'restored'
    reporter.restored(link.path, link.replaces, 0)
    return true
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code !== undefined && COPY_CODES.has(code)) return false
    link.state = 'failed'
    reporter.failure(link.path, error)
    return false
  }
}
