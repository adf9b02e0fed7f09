/** What `mount` and `serve webdav` show, as the service takes it. */

import { RFC3339 } from '../service/browse/go-time.ts'
import type { BrowseArguments } from './options/browse.ts'

export function browseRequestOf(args: BrowseArguments) {
  return {
    templates: args.pathTemplate,
    timeTemplate: args.timeTemplate ?? RFC3339,
    cacheBytes: args.cacheSize,
  }
}
