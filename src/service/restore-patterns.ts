/** The patterns of a restore: read before anything else, so that a mistake in them shows at once. */

import { listOfPatterns } from './patterns.ts'
import type { RestoreArguments } from './restore.ts'

export type RestorePatterns = ReturnType<typeof restorePatterns>

/** Throws CAIRN_USAGE for a pattern or a file of them that cannot be used. */
export function restorePatterns(
  args: RestoreArguments,
  environment: Readonly<Record<string, string | undefined>>,
) {
  return {
    include: listOfPatterns(
      { plain: args.include, folded: args.iinclude },
      { plain: args.includeFile, folded: args.iincludeFile },
      environment,
    ),
    exclude: listOfPatterns(
      { plain: args.exclude, folded: args.iexclude },
      { plain: args.excludeFile, folded: args.iexcludeFile },
      environment,
    ),
  }
}
