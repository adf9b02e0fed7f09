import { CairnError } from '../base/errors.ts'
import type { CborReader } from './cbor.ts'

/**
 * For a critical key that is not known (FORMAT.md 21): CAIRN_CORRUPT, since what has it is left out
 * like what is damaged, with CAIRN_FORMAT_TOO_NEW as its cause, since it is not.
 */
export function failOnCriticalKey(reader: CborReader): never {
  const problem = 'it needs a newer version of cairn'
  return reader.fail(problem, new CairnError('CAIRN_FORMAT_TOO_NEW', problem))
}
