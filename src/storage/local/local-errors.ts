/** What a system error means for the caller: a code, the reason in words, and a next step. */

import { CairnError, type ErrorCode } from '../../base/errors.ts'
import { errnoOf } from './local-file-system.ts'

interface Meaning {
  readonly code: ErrorCode
  readonly reason: string
  readonly nextStep?: string
}

const PERMISSION_STEP = 'check who owns the repository, or run this as that user'
const SPACE_STEP = 'free some space and run the command again'

const MEANINGS: Readonly<Record<string, Meaning>> = {
  ENOSPC: refused('no space left on the device', SPACE_STEP),
  EDQUOT: refused('the disk quota is used up', SPACE_STEP),
  EROFS: refused('the file system is read-only', 'mount it for writing'),
  EACCES: refused('permission denied', PERMISSION_STEP),
  EPERM: refused('operation not permitted', PERMISSION_STEP),
  EFBIG: refused('the file is larger than this system allows', "check 'ulimit -f'"),
  ENOTDIR: refused('a part of the path is not a directory', 'check the path'),
  EISDIR: refused('a directory is in the place of a file', 'check what is in the repository'),
  ELOOP: refused('a symbolic link is in the place of a file', 'check what is in the repository'),
  ENAMETOOLONG: refused('the path is too long', 'choose a shorter path'),
  EXDEV: refused(
    'its folders are on different file systems',
    'move the folders of the repository to one file system',
  ),
  EIO: down('input/output error', 'check the disk and the system log'),
  ESTALE: down('the network file system lost track of it', 'check the mount'),
  EMFILE: down('too many open files in this process', "raise 'ulimit -n'"),
  ENFILE: down('too many open files in the system'),
  ENOENT: down('a file or folder vanished while in use', 'check that the disk is still mounted'),
}

function refused(reason: string, nextStep?: string): Meaning {
  return { code: 'CAIRN_STORAGE_REFUSED', reason, ...(nextStep && { nextStep }) }
}

function down(reason: string, nextStep?: string): Meaning {
  return { code: 'CAIRN_STORAGE_DOWN', reason, ...(nextStep && { nextStep }) }
}

/**
 * `failed` as `cannot save pack 3fa9c1d2 in '/x'`. Errors that are cairn's already, and mistakes in
 * the program, come back as they are.
 */
export function storageError(failed: string, error: unknown): unknown {
  const errno = errnoOf(error)
  if (errno === undefined) return error
  const meaning = MEANINGS[errno] ?? down(errno)
  const step = meaning.nextStep === undefined ? '' : `; ${meaning.nextStep}`
  return new CairnError(meaning.code, `${failed}: ${meaning.reason}${step}`, {
    cause: error,
    details: { errno },
  })
}
