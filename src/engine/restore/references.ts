/** The references of a file's content, checked against what its entry says. */

import { CairnError } from '../../base/errors.ts'
import { LIMIT, REFERENCE_BYTES } from '../../format/constants.ts'
import { isHole, referenceId, referenceLength, type TreeEntry } from '../../format/tree.ts'
import { readChunkList } from '../../repository/tree-reader.ts'
import type { RestoreOptions } from './restore-options.ts'

const NONE = new Uint8Array()

/**
 * Sums up references as they come. Throws CAIRN_CORRUPT as soon as they are more than the file's
 * size, so that nothing is asked for that does not belong.
 */
class SizeCheck {
  readonly #size: number
  #sum = 0

  constructor(size: number) {
    this.#size = size
  }

  add(references: Uint8Array): void {
    for (let i = 0; i < references.length / REFERENCE_BYTES; i++) {
      const length = referenceLength(references, i)
      const isTooLong = length > LIMIT.blobBytesMax && !isHole(referenceId(references, i))
      if (isTooLong) throw new CairnError('CAIRN_CORRUPT', `a blob of ${length} bytes is refused`)
      this.#sum += length
    }
    if (this.#sum > this.#size) this.#fail()
  }

  finish(): void {
    if (this.#sum !== this.#size) this.#fail()
  }

  #fail(): never {
    throw new CairnError(
      'CAIRN_CORRUPT',
      `its contents have ${this.#sum} bytes where ${this.#size} belong`,
    )
  }
}

/** Of an entry without a content list. */
export function inlineReferences(entry: TreeEntry): Uint8Array {
  const references = entry.content ?? NONE
  const check = new SizeCheck(entry.size)
  check.add(references)
  check.finish()
  return references
}

/** Leaf by leaf. */
export async function* referencesOf(
  { blobs, signal }: Pick<RestoreOptions, 'blobs' | 'signal'>,
  entry: TreeEntry,
): AsyncGenerator<Uint8Array> {
  if (entry.contentList === undefined) {
    yield inlineReferences(entry)
    return
  }
  const check = new SizeCheck(entry.size)
  const options = { signal }
  for await (const leaf of readChunkList(blobs, entry.contentList, options)) {
    check.add(leaf)
    yield leaf
  }
  check.finish()
}
