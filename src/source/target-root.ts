/** Opens the directory that a restore writes into. */

import { constants, openSync } from 'node:fs'
import type { ByteString } from '../base/bytes.ts'
import { makeDirectories } from '../base/make-directories.ts'
import { withNativePath } from './native-path.ts'
import { errorAbout } from './system-error.ts'

/** The root is the user's own choice: a link on the way to it is followed. */
export function openRoot(root: ByteString): number {
  try {
    return withNativePath(root, (native) => {
      makeDirectories(native, 0o700)
      return openSync(native, constants.O_RDONLY | constants.O_DIRECTORY)
    })
  } catch (error) {
    throw errorAbout(root, error)
  }
}
