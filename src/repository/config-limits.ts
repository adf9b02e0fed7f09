/** What a config may say for this program to write under it (FORMAT.md 6 and 21). Reading asks for less. */

import { CairnError } from '../base/errors.ts'
import { AEAD } from '../crypto/aead.ts'
import type { ConfigBox } from '../format/config.ts'
import { LIMIT, PADDING } from '../format/constants.ts'

const KNOWN_CHUNKER = 1
const TRUST_ALL = 0

/** Throws CAIRN_FORMAT_TOO_NEW if there are features, none of which this program knows. */
export function requireKnown(features: readonly string[], what: string): void {
  if (features.length === 0) return
  throw new CairnError(
    'CAIRN_FORMAT_TOO_NEW',
    `cannot ${what} repository: it needs '${features.join("', '")}', which this program does not know; update cairn`,
  )
}

/**
 * Throws CAIRN_CORRUPT for figures by which nothing can be written. Whoever hands over a repository
 * has chosen them: they are held against limits before anything is allocated. The lengths of chunks
 * are the chunker's to refuse.
 */
export function requireWritableBox(box: ConfigBox): void {
  const { chunker, dataPackBytes, metadataPackBytes, padding, dedupTrust, aead } = box
  const refuse = (what: string): never => {
    throw new CairnError(
      'CAIRN_CORRUPT',
      `cannot write to repository: its config asks for ${what}; update cairn if a newer version made it`,
    )
  }
  if (chunker.algorithm !== KNOWN_CHUNKER) refuse(`chunker ${chunker.algorithm}`)
  for (const byteCount of [dataPackBytes, metadataPackBytes]) {
    if (byteCount > LIMIT.packTargetBytesMax) refuse(`packs of ${byteCount} bytes`)
  }
  if (!Object.values<number>(PADDING).includes(padding)) refuse(`padding ${padding}`)
  // To rely on every indexed blob where the config says not to would undo what it is for.
  if (dedupTrust !== TRUST_ALL) refuse(`dedup trust ${dedupTrust}`)
  if (!Object.values<number>(AEAD).includes(aead)) refuse(`cipher ${aead}`)
}
