/**
 * Checks one pack at a time for `check`: that its bytes have its name, and that every blob its
 * directory names is there and has its id. Damage is told part by part and never ends the job.
 *
 * One read per pack into a buffer that is kept, and no objects per blob: ids are compared where
 * they are.
 */

import { byteStringOf, equalBytes } from '../base/bytes.ts'
import { errorChain, isCairnError } from '../base/errors.ts'
import { loadZstd } from '../compression/zstd.ts'
import { loadBlake3, prepareBlake3 } from '../crypto/blake3.ts'
import { createSha256 } from '../crypto/sha256.ts'
import { PREAMBLE_BYTES, TRAILER_BYTES } from '../format/constants.ts'
import { PackDirectory } from '../format/directory.ts'
import { type BlobIdKeys, BlobIdentifier } from './keys.ts'
import { type PackContents, contentsOfBytes, PackFileReader } from './pack-contents.ts'
import { openFooter, openTrailer, PACK_TAIL_BYTES } from './pack-directory-reader.ts'
import { AeadSet, type PackKey } from './pack-seal.ts'
import { SegmentCheck } from './segment-check.ts'
import { SegmentReader } from './segment-reader.ts'
import type { BodyHost, WorkBody } from './work-pool.ts'

/** Keys come with each job, so that a pool can begin before there are any. */
export type PackInit = Readonly<Record<string, never>>

/** What a pack should hold, and what opens it. */
export interface PackClaim {
  readonly key: PackKey
  readonly idKeys: BlobIdKeys
  readonly preamble: Uint8Array
  /** As the index has it; undefined to go by the footer. */
  readonly directory: Uint8Array | undefined
}

export interface PackJob {
  /** `hash` needs no keys; only it leaves out `claim`. */
  readonly kind: 'hash' | 'decode' | 'hash+decode'
  readonly source: { readonly path: string } | { readonly bytes: Uint8Array }
  /** The 32 bytes of the name, and the length that belongs to it. */
  readonly name: Uint8Array
  readonly byteCount: number
  readonly claim?: PackClaim
}

export interface PackResult {
  /** Why the file could not be read at all; nothing else was found out then. */
  readonly unreadable: string | undefined
  /** What is wrong, in words, the most telling first. Empty for a sound pack. */
  readonly problems: readonly string[]
  /** The index and the footer, both sound, do not say the same. */
  readonly differsFromIndex: boolean
  /** Ids, 32 bytes each, of the directory's blobs that cannot be read. */
  readonly damagedIds: Uint8Array
  readonly blobCount: number
  readonly plainBytes: number
}

const PROBLEMS_MAX = 20

class Report {
  readonly problems: string[] = []
  problemCount = 0
  differsFromIndex = false
  damagedIds: Uint8Array = new Uint8Array()
  blobCount = 0
  plainBytes = 0

  add(problem: string): void {
    if (this.problemCount++ < PROBLEMS_MAX) this.problems.push(problem)
  }

  finish(unreadable?: string): PackResult {
    const more = this.problemCount - this.problems.length
    const problems = more > 0 ? [...this.problems, `${more} more`] : this.problems
    const { differsFromIndex, damagedIds, blobCount, plainBytes } = this
    return { unreadable, problems, differsFromIndex, damagedIds, blobCount, plainBytes }
  }
}

class PackBody implements WorkBody<PackJob, PackResult> {
  readonly #files: PackFileReader
  readonly #segments = new SegmentReader(new AeadSet(), loadZstd())
  #idKeys: BlobIdKeys | undefined
  #check: SegmentCheck | undefined

  constructor(host: BodyHost) {
    this.#files = new PackFileReader(host.environment.source)
  }

  run(job: PackJob): PackResult {
    const report = new Report()
    const { source } = job
    if ('bytes' in source) {
      this.#examine(job, contentsOfBytes(source.bytes), report)
      return report.finish()
    }
    try {
      // What is read once is read as it is needed, which stays in the CPU's cache.
      const isWhole = job.kind === 'hash+decode'
      this.#files.with(byteStringOf(source.path), isWhole, (contents) =>
        this.#examine(job, contents, report),
      )
      return report.finish()
    } catch (error) {
      // Whatever the file system says, the owner asks the storage again, which knows what it means.
      return report.finish(errorChain(error))
    }
  }

  #examine(job: PackJob, contents: PackContents, report: Report): void {
    if (contents.byteCount !== job.byteCount) {
      report.add(`it has ${contents.byteCount} bytes where ${job.byteCount} belong`)
    }
    if (job.kind !== 'decode' && !equalBytes(hashOf(contents), job.name)) {
      report.add('its bytes do not have its name')
    }
    if (job.claim === undefined) return
    try {
      this.#decode(job.claim, contents, report)
    } catch (error) {
      if (!isCairnError(error, 'CAIRN_CORRUPT')) throw error
      report.add(errorChain(error))
    }
  }

  #decode(claim: PackClaim, contents: PackContents, report: Report): void {
    this.#checkPreambles(claim, contents, report)
    const footer = this.#footer(claim, contents, report)
    const directory = this.#directory(claim, footer, report)
    if (directory === undefined) return
    const check = this.#checkFor(claim.idKeys)
    check.run({ key: claim.key, directory, contents, onProblem: (text) => report.add(text) })
    report.damagedIds = check.takeDamagedIds()
    report.blobCount = directory.blobCount
    report.plainBytes = check.plainBytes
  }

  #checkPreambles(claim: PackClaim, contents: PackContents, report: Report): void {
    const { byteCount } = contents
    if (byteCount < PREAMBLE_BYTES + PACK_TAIL_BYTES) return report.add('it is cut off')
    if (!equalBytes(contents.range(0, PREAMBLE_BYTES), claim.preamble)) {
      report.add('the preamble at its front is damaged')
    }
    const copy = contents.range(byteCount - PACK_TAIL_BYTES, PREAMBLE_BYTES)
    if (!equalBytes(copy, claim.preamble)) report.add('the copy of its preamble is damaged')
  }

  #footer(claim: PackClaim, contents: PackContents, report: Report): PackDirectory | undefined {
    const { byteCount } = contents
    if (byteCount < PREAMBLE_BYTES + PACK_TAIL_BYTES) return undefined
    try {
      const sealed = contents.range(byteCount - TRAILER_BYTES, TRAILER_BYTES)
      const trailer = openTrailer(claim.key, sealed, byteCount)
      const footer = contents.range(trailer.footerOffset, trailer.footerBytes)
      return openFooter(claim.key, footer, trailer)
    } catch (error) {
      if (!isCairnError(error, 'CAIRN_CORRUPT')) throw error
      report.add(errorChain(error))
      return undefined
    }
  }

  #directory(
    claim: PackClaim,
    footer: PackDirectory | undefined,
    report: Report,
  ): PackDirectory | undefined {
    if (claim.directory === undefined) return footer
    if (footer !== undefined && !equalBytes(footer.bytes, claim.directory)) {
      report.differsFromIndex = true
      report.add('its footer and the index do not agree')
    }
    return new PackDirectory(claim.directory)
  }

  #checkFor(idKeys: BlobIdKeys): SegmentCheck {
    const known = this.#idKeys
    if (
      this.#check !== undefined &&
      known !== undefined &&
      equalBytes(known.data, idKeys.data) &&
      equalBytes(known.metadata, idKeys.metadata)
    ) {
      return this.#check
    }
    this.#idKeys = idKeys
    this.#check = new SegmentCheck(this.#segments, new BlobIdentifier(idKeys, loadBlake3()))
    return this.#check
  }

  receive(): void {}

  async close(): Promise<void> {}
}

/** What is hashed right after it was read comes from the CPU's cache. */
const HASH_PIECE_BYTES = 1 << 20

/** The SHA-256 of all bytes, which is the name of a sound pack. */
export function hashOf(contents: PackContents): Uint8Array {
  const hash = createSha256()
  for (let at = 0; at < contents.byteCount; at += HASH_PIECE_BYTES) {
    hash.update(contents.range(at, Math.min(HASH_PIECE_BYTES, contents.byteCount - at)))
  }
  return hash.digest()
}

export async function createPackBody(
  _init: PackInit,
  host: BodyHost,
): Promise<WorkBody<PackJob, PackResult>> {
  await prepareBlake3()
  return new PackBody(host)
}
