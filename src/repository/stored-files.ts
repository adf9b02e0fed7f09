/** What files are called, and whether there are any: for opening a repository, which loads little else. */

import { isCairnError } from '../base/errors.ts'
import { type FileName, fileNameOf } from '../base/ids.ts'
import { sha256 } from '../crypto/sha256.ts'
import type { Backend, FileInfo, FileKind, OpOptions } from '../storage/backend.ts'

/** The name of the file that holds these bytes. */
export function nameOf(bytes: Uint8Array): FileName {
  return fileNameOf(sha256(bytes))
}

/** The files of a kind, none also where there is no place at all yet. */
export async function listIfThere(
  backend: Backend,
  kind: FileKind,
  options: OpOptions,
): Promise<FileInfo[]> {
  try {
    return await backend.list(kind, options)
  } catch (error) {
    if (isCairnError(error, 'CAIRN_REPOSITORY_MISSING')) return []
    throw error
  }
}

/** Whether a repository has been created there. */
export async function hasRepository(backend: Backend, signal?: AbortSignal): Promise<boolean> {
  const options = { signal }
  return (await listIfThere(backend, 'config', options)).length > 0
}
